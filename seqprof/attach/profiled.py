"""A few steps of the script under torch.profiler, after all that is timed.

::

    … measured | profiler warms up | starts, bounding step | profiled step … | written | hooks gone
                                         |<------------- in the trace ------>|

What a step and a phase in it are is derived from the events afterwards, as in any other step; the
ranges that tie the clocks say where they lie in the trace.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from seqprof.attach.patches import Patches
from seqprof.attach.recorder import Recorder
from seqprof.instruments.clock_ties import tie_clocks
from seqprof.instruments.clocks import host_clock_ns
from seqprof.instruments.range_names import CLOCK_NAMES
from seqprof.instruments.torch_bridge import (
    TraceProfiler,
    kernel_activity,
    letting_go,
    stays_after_profiling,
)

#: Steps before the first that counts: in one the profiler warms up, in one it starts, and one
#: bounds the window of the next.
BEFORE = 3
#: Read when the profiler first starts; below 6, Kineto writes to standard error.
_LOG_LEVEL = "KINETO_LOG_LEVEL"


def why_not(device: torch.device, *, trace: bool) -> str | None:
    """Why no step is to be profiled; None if some are.

    Args:
        trace: the trace itself is wanted, also of a processor's operators.
    """
    if torch._C._autograd._profiler_enabled():
        return "the script runs torch.profiler itself"
    if device.type == "cpu":
        return None if trace else "not taken on the processor unless a trace is to be kept"
    if kernel_activity(device) is None:
        return f"torch.profiler here records no kernels of {device.type} devices"
    if not trace and stays_after_profiling(device):
        return (
            f"after it, CUDA {torch.version.cuda} would launch more slowly until the script ends; "
            "--trace takes it all the same"
        )
    return None


class ProfiledSteps:
    """Runs the profiler over the next steps of the loop.

    Args:
        recorder: gets the fact ``profiled``, and says where the trace is written.
        device: where the model is.
        steps: how many are to count.
    """

    def __init__(self, recorder: Recorder, device: torch.device, steps: int) -> None:
        self._recorder = recorder
        self._device = device
        self._last = BEFORE + steps
        self._begun = -1
        self._around: list[tuple[str, list[tuple[int, int]]]] = []
        self._profiler: Any = None
        self._patches = Patches()
        self._process = os.getpid()

    def begin_step(self) -> bool:
        """A step begins; returns whether it is to be recorded."""
        self._begun += 1
        if self._begun == 0:
            self._prepare()
        elif self._begun == 1:
            self._start()
        elif self._begun == self._last:
            self.finish()
        return self._profiler is not None

    def _prepare(self) -> None:
        kernels = kernel_activity(self._device)
        quiet = os.environ.get(_LOG_LEVEL)
        os.environ.setdefault(_LOG_LEVEL, "6")
        try:
            self._profiler = TraceProfiler(
                activities=[ProfilerActivity.CPU, *([kernels] if kernels else [])]
            )
            self._profiler.prepare_trace()
        finally:
            if quiet is None:
                del os.environ[_LOG_LEVEL]
        # Two profilers cannot run at a time: the script's own goes first.
        owner = torch.autograd.profiler.profile
        self._patches.put(owner, "_prepare_trace", self._giving_way)
        self._patches.put(owner, "_start_trace", self._giving_way)
        atexit.register(self._at_exit)

    def _giving_way(self, original: Any) -> Any:
        def start(profiler: Any, *args: Any, **kwargs: Any) -> Any:
            ours = self._profiler.profiler if self._profiler is not None else None
            if ours is not None and profiler is not ours:
                self.abandon("the script started torch.profiler itself")
            return original(profiler, *args, **kwargs)

        return start

    def _start(self) -> None:
        self._profiler.start_trace()
        self._around.append((CLOCK_NAMES[0], tie_clocks(CLOCK_NAMES[0])))

    def finish(self) -> None:
        """Stop, and write the trace; the script may have ended before all steps were run."""
        profiler, self._profiler = self._profiler, None
        if profiler is None or os.getpid() != self._process:  # a forked child has none
            return
        self._let_go()
        if self._begun < 1:
            self._recorder.fact("profiled", reason="the script ended before a step was profiled")
            return
        self._around.append((CLOCK_NAMES[1], tie_clocks(CLOCK_NAMES[1])))
        begun_ns = host_clock_ns()
        with letting_go(self._device):
            profiler.stop_trace()
        profiler.export_chrome_trace(self._recorder.path(".trace.json"))
        stopped_ns = host_clock_ns() - begun_ns
        self._recorder.fact("profiled", around=self._around, stopped_ns=stopped_ns, reason=None)

    def _at_exit(self) -> None:
        try:
            self.finish()
        except Exception as error:
            self._recorder.fact("profiled", reason=f"{type(error).__name__}: {error}")

    def abandon(self, reason: str) -> None:
        """Stop without a trace."""
        profiler, self._profiler = self._profiler, None
        if profiler is not None:
            self._let_go()
            with letting_go(self._device):
                profiler.stop_trace()
            self._recorder.fact("profiled", reason=reason)

    def _let_go(self) -> None:
        self._patches.restore()
        atexit.unregister(self._at_exit)
