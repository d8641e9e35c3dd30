"""What every measuring command tells while it runs, and what it returns. Without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from seqprof.recording import Recording
from seqprof.spec import Spec

#: The stage in which the first steps are run.
WARMING_UP = "warming up"
#: A first step that lasts this many times what all pairs may last, and this long, is a hang.
FIRST_STEP_FACTOR, LEAST_FIRST_STEP_S = 20.0, 60.0


def longest_first_step_s(spec: Spec) -> float:
    """Return after how long a step is a hang while nothing is measured yet, in seconds."""
    return max(LEAST_FIRST_STEP_S, FIRST_STEP_FACTOR * spec.measure.max_s) + compiling_s(spec)


def compiling_s(spec: Spec) -> float:
    """Return how long compiling may take, in seconds; 0 where nothing is compiled."""
    return spec.train.compile_timeout_s if spec.train.compile else 0.0


class Progress(Protocol):
    """Told how the measuring goes, never inside a timed block."""

    def stage(self, name: str, total: float | None) -> None: ...

    def advance(self, done: float) -> None: ...

    def keep(self, recording: Callable[[], Recording | None], *, at_once: bool = False) -> None:
        """Offered what there is so far, between steps: whatever happens next, that is safe.

        Not each time, which would take too much of it, save ``at_once``.
        """


class NoProgress:
    """For whom nobody waits."""

    def stage(self, name: str, total: float | None) -> None:
        pass

    def advance(self, done: float) -> None:
        pass

    def keep(self, recording: Callable[[], Recording | None], *, at_once: bool = False) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recording and the exit code that tells how complete it is.

    Attributes:
        trace_kept: whether the trace of the profiled pass was written.
    """

    recording: Recording
    exit_code: int
    trace_kept: bool = False
