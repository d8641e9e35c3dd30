"""The two clocks of a step: the host's, and events on the accelerator's stream.

``torch.Event(enable_timing=True)`` silently makes a CPU event whose ``record()`` raises when there
is no accelerator, so an :class:`EventPool` is made for an accelerator only.
"""

from __future__ import annotations

from time import perf_counter_ns

import torch

NS = 1e-9

#: Host clock of every mark, nanoseconds, monotonic (CLOCK_MONOTONIC on Linux: the same in every
#: process, which is what lets a sampler's readings be laid beside the marks).
host_clock_ns = perf_counter_ns


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
            self._events.append(torch.Event(self.device, enable_timing=True))
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
        torch.accelerator.synchronize(device)


def timer_resolution_s(tries: int = 200) -> float:
    """Smallest step of the host clock that was seen between two reads."""
    steps = []
    for _ in range(tries):
        start = host_clock_ns()
        while (end := host_clock_ns()) == start:
            pass
        steps.append(end - start)
    return min(steps) * NS
