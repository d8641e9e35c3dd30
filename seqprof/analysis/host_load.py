"""The host's load over several windows, as one."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.recording import HostLoad

#: Share of the time that threads waited for a processor, beyond which steps are those of the load.
#: Threads that wait for one another at barriers make a step many times as long as the load alone.
MOST_WAITING = 0.25


def queueing_share(load: HostLoad | None) -> float:
    """Return how long threads waited for a processor, over the time; 0 where it is not known."""
    if load is None or load.run_delay_s is None or load.window_s <= 0.0:
        return 0.0
    return load.run_delay_s / load.window_s


def waiting_share(load: HostLoad | None) -> float:
    """Return how long threads waited for a processor that others had, over the time.

    Threads also wait for one another, where more of them are busy than there are processors. Of all
    waiting, no more is laid on others than the time for which they had a processor.
    """
    share = queueing_share(load)
    if load is None or load.others_s is None or load.window_s <= 0.0:
        return share
    return min(share, (load.others_s + (load.steal_s or 0.0)) / load.window_s)


def crowding_share(load: HostLoad | None) -> float:
    """Return how long threads of the process waited for one another, over the time."""
    return queueing_share(load) - waiting_share(load)


def is_contended(load: HostLoad | None) -> bool:
    """Whether what was measured in this time is that of the load, not of the model."""
    return waiting_share(load) > MOST_WAITING


def undisturbed_threads(load: HostLoad, cores: int) -> int | None:
    """Return how many threads would have had a processor each; None where it is not known."""
    if load.others_s is None or load.window_s <= 0.0:
        return None
    return max(0, round(cores - load.others_s / load.window_s))


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
