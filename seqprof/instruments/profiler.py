"""torch.profiler beside seqprof's own clock: phases as ranges, and what ties the two clocks.

Timesteps are stamped with the host clock, as in any probed step, because a range of the profiler
per timestep would cost as much as one or two operations. The clock ranges say where a stamp lies in
the trace.
"""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, record_function, supported_activities

from seqprof.instruments.clocks import host_clock_ns
from seqprof.recording import Phase

#: Prefix of every range of ours in a trace.
OWN = "seqprof."
#: Ranges that tie the clocks, before the first recorded step and after the last.
CLOCK_NAMES = (OWN + "clock.begin", OWN + "clock.end")
#: Ranges in each; the first are slow, and the tightest count.
CLOCK_RANGES = 20

_KERNELS = {
    "cuda": ProfilerActivity.CUDA,  # ROCm, too
    "xpu": ProfilerActivity.XPU,
    "mtia": ProfilerActivity.MTIA,
    "hpu": ProfilerActivity.HPU,
}


def kernel_activity(device: torch.device) -> ProfilerActivity | None:
    """What makes torch.profiler record the kernels of ``device``; None where it cannot."""
    activity = _KERNELS.get(device.type)
    return activity if activity in supported_activities() else None  # type: ignore[no-untyped-call]


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


def tie_clocks(name: str) -> list[tuple[int, int]]:
    """Record ``CLOCK_RANGES`` ranges ``name``; host clock before and after each was opened."""
    around = []
    for _ in range(CLOCK_RANGES):
        mark = record_function(name)
        before = host_clock_ns()
        mark.__enter__()  # type: ignore[no-untyped-call]
        around.append((before, host_clock_ns()))
        mark.__exit__(None, None, None)
    return around
