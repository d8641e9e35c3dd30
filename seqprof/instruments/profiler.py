"""The phases of a step as ranges of torch.profiler."""

from __future__ import annotations

from torch.profiler import record_function

from seqprof.instruments.range_names import OWN
from seqprof.recording import Phase


class PhaseRanges:
    """A listener of phases that records each as a range ``seqprof.<phase>``."""

    def __init__(self) -> None:
        self._open: record_function | None = None

    def enter(self, phase: Phase) -> None:
        """The running phase ends here and ``phase`` begins."""
        self.end()
        self._open = record_function(OWN + phase)
        self._open.__enter__()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """The last phase ends here, also one that an exception left open."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None
