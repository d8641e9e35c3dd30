"""The host's load over a measurement: differences of the system's counters."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from seqprof.recording import HostLoad


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters at one instant; None where the platform has no such counter."""

    at_ns: int
    process_cpu_s: float
    machine_busy_s: float | None
    steal_s: float | None
    involuntary_switches: int
    run_delay_s: float | None = None
    children_cpu_s: float | None = None


def snapshot(*, children: bool = False) -> Snapshot:
    """Read the counters; takes a few milliseconds, which looking for children takes.

    Args:
        children: of the processes that this one has started and waited for, not its own.
    """
    busy_s, steal_s = _machine()
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    usage = resource.getrusage(who)
    return Snapshot(
        at_ns=time.monotonic_ns(),
        process_cpu_s=usage.ru_utime + usage.ru_stime if children else time.process_time(),
        machine_busy_s=busy_s,
        steal_s=steal_s,
        # Of all threads; /proc/self/status, which psutil reads, counts the main thread's alone.
        involuntary_switches=usage.ru_nivcsw,
        run_delay_s=_run_delay(),
        children_cpu_s=None if children else _children_cpu(),
    )


def _children_cpu() -> float | None:
    """CPU time of the processes that this one started: those that live, and those that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    try:
        living = psutil.Process().children(recursive=True)
    except (OSError, RuntimeError, psutil.Error):
        return None
    for child in living:
        with suppress(OSError, psutil.Error):  # it has just ended: the next snapshot has it
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _run_delay() -> float | None:
    """Time on the run queues of the threads that live now (Linux, scheduler/sched-stats)."""
    total = 0
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                total += int(file.read().split()[1])
    except (OSError, IndexError, ValueError):  # not built into this kernel, or hidden
        return None
    return total / 1e9


def free_cores(window_s: float = 0.25) -> int:
    """Return how many of the processors of this process no other program uses now, at least 1.

    What the others used over ``window_s`` counts, as on all processors of the machine alike.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    meter = HostMeter()
    time.sleep(window_s)
    load = meter.stop()
    if load.others_s is None:
        return cores
    return max(1, round(cores - load.others_s / load.window_s))


def _machine() -> tuple[float | None, float | None]:
    """CPU time of all processes on all cores, and what the hypervisor gave to others."""
    try:
        times = psutil.cpu_times()
    except (OSError, RuntimeError, ValueError, psutil.Error):  # /proc/stat hidden or unreadable
        return None, None
    counted = times._asdict()
    # `guest` and `guest_nice` are contained in `user` and `nice` already.
    parts = ("user", "nice", "system", "irq", "softirq")
    return sum(counted.get(part, 0.0) for part in parts), counted.get("steal")


class HostMeter:
    """Measures the host's load from its making to :meth:`stop`, or from :meth:`start`."""

    def __init__(self, *, children: bool = False) -> None:
        self._children = children
        self._before = snapshot(children=children)

    def start(self) -> None:
        """Begin anew."""
        self._before = snapshot(children=self._children)

    def stop(self) -> HostLoad:
        """The load since the beginning; may be asked again later."""
        before, after = self._before, snapshot(children=self._children)
        return HostLoad(
            window_s=(after.at_ns - before.at_ns) / 1e9,
            process_cpu_s=after.process_cpu_s - before.process_cpu_s,
            machine_busy_s=_difference(before.machine_busy_s, after.machine_busy_s),
            steal_s=_difference(before.steal_s, after.steal_s),
            involuntary_switches=after.involuntary_switches - before.involuntary_switches,
            load_average_1m=load_average(),
            run_delay_s=_difference(before.run_delay_s, after.run_delay_s),
            children_cpu_s=_difference(before.children_cpu_s, after.children_cpu_s),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    # Some kernels let these counters go back a tick; time spent is never negative.
    return None if before is None or after is None else max(0.0, after - before)


def load_average() -> float | None:
    """The system's load over the last minute; None where it does not tell."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
