"""Ranges in torch.profiler's trace that tie its clock to the host's.

Timesteps are stamped with the host clock, as in any probed step, because a range of the profiler
per timestep would cost as much as one or two operations. The clock ranges say where a stamp lies in
the trace.
"""

from __future__ import annotations

from time import perf_counter_ns

from torch.profiler import record_function

#: Ranges in each; the first are slow, and the tightest count.
CLOCK_RANGES = 20


def tie_clocks(name: str) -> list[tuple[int, int]]:
    """Record ``CLOCK_RANGES`` ranges ``name``; host clock before and after each was opened."""
    around = []
    for _ in range(CLOCK_RANGES):
        mark = record_function(name)
        before = perf_counter_ns()
        mark.__enter__()  # type: ignore[no-untyped-call]
        around.append((before, perf_counter_ns()))
        mark.__exit__(None, None, None)
    return around
