"""The host's load over a measurement: differences of the system's counters."""

from __future__ import annotations

import os
import resource
import time
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


def snapshot() -> Snapshot:
    """Read the counters; takes about a tenth of a millisecond."""
    busy_s, steal_s = _machine()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Snapshot(
        at_ns=time.monotonic_ns(),
        process_cpu_s=time.process_time(),
        machine_busy_s=busy_s,
        steal_s=steal_s,
        # Of all threads; /proc/self/status, which psutil reads, counts the main thread's alone.
        involuntary_switches=usage.ru_nivcsw,
    )


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

    def __init__(self) -> None:
        self._before = snapshot()

    def start(self) -> None:
        """Begin anew."""
        self._before = snapshot()

    def stop(self) -> HostLoad:
        """The load since the beginning; may be asked again later."""
        before, after = self._before, snapshot()
        return HostLoad(
            window_s=(after.at_ns - before.at_ns) / 1e9,
            process_cpu_s=after.process_cpu_s - before.process_cpu_s,
            machine_busy_s=_difference(before.machine_busy_s, after.machine_busy_s),
            steal_s=_difference(before.steal_s, after.steal_s),
            involuntary_switches=after.involuntary_switches - before.involuntary_switches,
            load_average_1m=_load_average(),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    # Some kernels let these counters go back a tick; time spent is never negative.
    return None if before is None or after is None else max(0.0, after - before)


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
