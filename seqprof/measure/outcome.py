"""What every measuring command tells while it runs, and what it returns. Without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from seqprof.recording import Recording


class Progress(Protocol):
    """Told how the measuring goes, never inside a timed block."""

    def stage(self, name: str, total: float | None) -> None: ...

    def advance(self, done: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recording and the exit code that tells how complete it is.

    Attributes:
        trace_kept: whether the trace of the profiled pass was written.
    """

    recording: Recording
    exit_code: int
    trace_kept: bool = False
