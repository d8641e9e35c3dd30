"""The clocks of a step: the host's, the processor's, and events on the accelerator's stream.

``torch.Event(enable_timing=True)`` silently makes a CPU event whose ``record()`` raises when there
is no accelerator, so an :class:`EventPool` is made for an accelerator only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import clock_gettime_ns, perf_counter_ns, process_time_ns
from typing import Literal

import torch

from seqprof.instruments.torch_bridge import make_event
from seqprof.instruments.torch_bridge import synchronize as wait_for

NS = 1e-9

#: Host clock of every mark, nanoseconds, monotonic (CLOCK_MONOTONIC on Linux: the same in every
#: process, which is what lets a sampler's readings be laid beside the marks).
host_clock_ns = perf_counter_ns


#: Each thread's clock takes 0.5 µs to read; with more threads the process's own clock is read.
MOST_THREAD_CLOCKS = 16
_TASKS = "/proc/self/task"


class CpuClock:
    """CPU time of this process, exact at any moment where it has few threads.

    Linux brings what *other* threads have used up to date in the process's clock only at its ticks,
    1 to 10 ms apart: of phases of a millisecond, one gets the time that another has spent. The
    clock of a single thread is exact whenever it is read, so they are read one by one.
    """

    def __init__(self) -> None:
        self._clocks: list[int] = []

    @property
    def exact(self) -> bool:
        """Whether each thread's clock is read."""
        return bool(self._clocks)

    @property
    def kind(self) -> Literal["threads", "process"]:
        """Which clocks are read, as a recording names them."""
        return "threads" if self.exact else "process"

    def find_threads(self) -> None:
        """Take in the threads that there are now; those made later are not read."""
        try:
            threads = [int(name) for name in os.listdir(_TASKS)]
        except OSError:
            threads = []
        # The number of a thread's clock, as pthread_getcpuclockid makes it.
        few = threads if len(threads) <= MOST_THREAD_CLOCKS else []
        self._clocks = [~thread << 3 | 6 for thread in few]

    def read(self) -> list[int]:
        """Nanoseconds of each clock; of a thread that has ended, 0."""
        if not self._clocks:
            return [process_time_ns()]
        try:
            return [clock_gettime_ns(clock) for clock in self._clocks]
        except OSError:
            return [_nanoseconds(clock) for clock in self._clocks]

    @staticmethod
    def nanoseconds(start: Sequence[int], end: Sequence[int]) -> int:
        """CPU time between two readings; a thread that ended between them does not count."""
        return sum(after - before for before, after in zip(start, end, strict=True) if after)


def _nanoseconds(clock: int) -> int:
    try:
        return clock_gettime_ns(clock)
    except OSError:
        return 0


class EventPool:
    """Timing events of one device, made once and recorded again in every step.

    Making an event allocates on the driver; recording one only queues a time stamp, and no host
    synchronization happens until :meth:`seconds` is asked after the step has completed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._events: list[torch.Event] = []
        self._used = 0

    def record(self) -> torch.Event:
        """Queue a time stamp on the calling thread's current stream; returns its event."""
        if self._used == len(self._events):
            self._events.append(make_event(self.device, timed=True))
        event = self._events[self._used]
        self._used += 1
        event.record()
        return event

    def reset(self) -> None:
        """Give all events back; none recorded before may be read after this."""
        self._used = 0

    @staticmethod
    def seconds(start: torch.Event, end: torch.Event) -> float:
        """Device time between two completed events."""
        return float(start.elapsed_time(end)) * 1e-3


def event_pool(device: torch.device) -> EventPool | None:
    """Return a pool for an accelerator, ``None`` for the CPU."""
    return None if device.type == "cpu" else EventPool(device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was launched; nothing on the CPU."""
    if device.type != "cpu":
        wait_for(device)


def timer_resolution_s(tries: int = 200) -> float:
    """Smallest step of the host clock that was seen between two reads."""
    steps = []
    for _ in range(tries):
        start = host_clock_ns()
        while (end := host_clock_ns()) == start:
            pass
        steps.append(end - start)
    return min(steps) * NS
