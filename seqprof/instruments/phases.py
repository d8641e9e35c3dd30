"""Phase boundaries of a step.

::

    begin   enter(data)   enter(forward)   enter(loss)  …  enter(optimizer)   end
              |--- data ---|--- forward ---|--- loss ---|…|--- optimizer ---|

One stamp ends a phase and begins the next, so the phases tile the step exactly. A phase entered
several times (micro-batches, chunks of truncated BPTT) is summed.
"""

from __future__ import annotations

from collections import defaultdict

import torch

from seqprof.instruments.clocks import NS, CpuClock, EventPool, host_clock_ns
from seqprof.recording import Phase, PhaseTiming


class PhaseClock:
    """Stamps every boundary with host, CPU and device time."""

    def __init__(self, events: EventPool | None) -> None:
        self._pool = events
        self._phases: list[Phase] = []
        self._host: list[int] = []
        self._cpu: list[list[int]] = []
        self.cpu_clock = CpuClock()
        self._events: list[torch.Event] = []

    def _stamp(self) -> None:
        self._cpu.append(self.cpu_clock.read())
        self._host.append(host_clock_ns())
        if self._pool is not None:
            self._events.append(self._pool.record())

    def enter(self, phase: Phase) -> None:
        """The running phase ends here and ``phase`` begins."""
        self._phases.append(phase)
        self._stamp()

    def end(self) -> None:
        """The last phase ends here."""
        self._stamp()

    def clear(self) -> None:
        """Forget the step; its events must have been given back to the pool."""
        for stamps in (self._phases, self._host, self._cpu, self._events):
            stamps.clear()
        self.cpu_clock.find_threads()

    @property
    def started_ns(self) -> int:
        """Host clock at the first boundary."""
        return self._host[0]

    def timings(self) -> dict[str, PhaseTiming]:
        """Time of each phase of the step since :meth:`clear`; the device must have completed it."""
        host: dict[str, float] = defaultdict(float)
        cpu: dict[str, float] = defaultdict(float)
        device: dict[str, float] = defaultdict(float)
        for i, phase in enumerate(self._phases):
            host[phase] += (self._host[i + 1] - self._host[i]) * NS
            cpu[phase] += self.cpu_clock.nanoseconds(self._cpu[i], self._cpu[i + 1]) * NS
            if self._pool is not None:
                device[phase] += self._pool.seconds(self._events[i], self._events[i + 1])
        return {
            phase: PhaseTiming(
                host_s=host[phase],
                cpu_s=cpu[phase],
                device_s=device[phase] if self._pool is not None else None,
            )
            for phase in host
        }
