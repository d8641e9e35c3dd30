"""The host's load over several windows, as one."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.recording import HostLoad


def join_loads(loads: Sequence[HostLoad]) -> HostLoad | None:
    """Return the load over all windows together; None where there is none."""
    if not loads:
        return None
    return HostLoad(
        window_s=sum(load.window_s for load in loads),
        process_cpu_s=sum(load.process_cpu_s for load in loads),
        machine_busy_s=_total([load.machine_busy_s for load in loads]),
        steal_s=_total([load.steal_s for load in loads]),
        involuntary_switches=_whole(_total([load.involuntary_switches for load in loads])),
        load_average_1m=loads[-1].load_average_1m,
        run_delay_s=_total([load.run_delay_s for load in loads]),
        children_cpu_s=_total([load.children_cpu_s for load in loads]),
    )


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
