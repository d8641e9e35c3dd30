"""What went wrong, in words, and whose fault it is. Without torch: the parent of workers words too.

A fault is the training code's only where nothing of seqprof's was in the step, or where the same
batch fails again without it. What fails only with an instrument in the step is the instrument's.
"""

from __future__ import annotations

import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqprof.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANNOT_MEASURE,
    EXIT_DEVICE_FAILED,
    SeqprofError,
    first_line,
)
from seqprof.recording import Workload

FailureKind = Literal[
    "out_of_memory",
    "step_failed",
    "own_fault",
    "device_failed",
    "hung",
    "killed",
    "not_built",
    "budget_spent",
]

#: What to do about a failure that leaves nothing to show.
HINTS: dict[FailureKind, str] = {
    "out_of_memory": "lower data.batch_size or data.seq_len, or set train.checkpoint: true "
    "(built-in models)",
    "step_failed": "the step ran without any of seqprof's instruments; see the line named",
    "own_fault": "this is seqprof's own fault: please report it with the config, and the text of "
    "`seqprof doctor`",
    "device_failed": "it may have been raised by an earlier call than the one named: "
    "CUDA_LAUNCH_BLOCKING=1 before the command names the right one; look for an Xid message in "
    "`dmesg`",
}
_PACKAGE = str(Path(__file__).parents[1])
#: How the processor's allocators say that memory is short, as plain RuntimeErrors.
_SHORT = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator", "out of memory")

#: How torch before 2.8, which has no AcceleratorError, words an error that stays.
_LOST = ("CUDA error", "HIP error", "device-side assert")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one model, or one point of it, is measured no further."""

    kind: FailureKind
    detail: str
    hint: str | None = None
    workload: Workload | None = None

    @property
    def exit_code(self) -> int:
        """What a command ends with when nothing was measured because of it."""
        if self.kind in ("step_failed", "not_built"):
            return EXIT_BAD_INPUT
        if self.kind == "device_failed":
            return EXIT_DEVICE_FAILED
        return EXIT_CANNOT_MEASURE


def explain(error: BaseException, workload: Workload | None = None) -> Failure:
    """Word an error that came out of a step without instruments."""
    kind = kind_of(error)
    return Failure(kind, in_words(error), HINTS.get(kind), workload)


def kind_of(error: BaseException) -> FailureKind:
    """Whether memory was short, the device failed, or whose code raised it."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if names & {"OutOfMemoryError", "MemoryError"} or any(word in text for word in _SHORT):
        return "out_of_memory"
    if device_is_lost(error):
        return "device_failed"
    return "own_fault" if _raised_here(error) else "step_failed"


def device_is_lost(error: BaseException) -> bool:
    """Whether an accelerator reports an error that every later call will report too."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    sticky = "AcceleratorError" in names or any(said in text for said in _LOST)
    return sticky and "out of memory" not in text


def in_words(error: BaseException) -> str:
    """``file.py:12: RuntimeError: what``."""
    return f"{user_frame(error)}{type(error).__name__}: {first_line(error)}"


def reason_of(error: BaseException) -> str:
    """Why a probe of the model gave nothing."""
    return error.message if isinstance(error, SeqprofError) else in_words(error)


def user_frame(error: BaseException) -> str:
    """``file.py:12: `` of the innermost frame outside seqprof and installed libraries, or ''."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        outside = not frame.filename.startswith((_PACKAGE, "<"))
        if outside and "site-packages" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""


def _raised_here(error: BaseException) -> bool:
    """Whether the innermost frame is seqprof's: not the model's, and no library's."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_PACKAGE)


def innermost_line(stacks: str) -> str:
    """Return ``file:line function``, innermost outside of seqprof and libraries, of the last stack.

    Args:
        stacks: what :mod:`faulthandler` wrote; '' is returned where it has none.
    """
    parts = [part for part in stacks.split("most recent call first):\n") if "File" in part]
    frames = re.findall(r'File "(.+?)", line (\d+) in (\S+)', parts[-1]) if parts else []
    libraries = (_PACKAGE, "<", sys.prefix, sys.base_prefix)
    outside = [frame for frame in frames if not frame[0].startswith(libraries)]
    if not frames:
        return ""
    file, line, function = (outside or frames)[0]
    return f"{Path(file).name}:{line} {function}"
