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
    """Stamps every boundary: one read of the host's clock, on an accelerator one event beside it.

    Args:
        events: of the accelerator; None on the CPU.
        cpu_clock: read at every boundary too, which costs 0.5 µs a thread; None where it is not.
    """

    def __init__(self, events: EventPool | None, cpu_clock: CpuClock | None = None) -> None:
        self._pool = events
        self._cpu_clock = cpu_clock
        self._phases: list[Phase] = []
        self._host: list[int] = []
        self._cpu: list[list[int]] = []
        self._events: list[torch.Event] = []
        # What the smallest boundary does is one call and nothing else.
        self.enter = self._enter_bounded if events is None and cpu_clock is None else self._enter

    def _enter_bounded(self, phase: Phase) -> None:
        self._host.append(host_clock_ns())
        self._phases.append(phase)

    def _stamp(self) -> None:
        if self._cpu_clock is not None:
            self._cpu.append(self._cpu_clock.read())
        self._host.append(host_clock_ns())
        if self._pool is not None:
            self._events.append(self._pool.record())

    def _enter(self, phase: Phase) -> None:
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
        if self._cpu_clock is not None:
            self._cpu_clock.find_threads()

    def timings(self) -> dict[str, PhaseTiming]:
        """Time of each phase of the step since :meth:`clear`; the device must have completed it."""
        host: dict[str, float] = defaultdict(float)
        cpu: dict[str, float] = defaultdict(float)
        device: dict[str, float] = defaultdict(float)
        for i, phase in enumerate(self._phases):
            host[phase] += (self._host[i + 1] - self._host[i]) * NS
            if self._cpu_clock is not None:
                cpu[phase] += self._cpu_clock.nanoseconds(self._cpu[i], self._cpu[i + 1]) * NS
            if self._pool is not None:
                device[phase] += self._pool.seconds(self._events[i], self._events[i + 1])
        return {
            phase: PhaseTiming(
                host_s=host[phase],
                cpu_s=cpu[phase] if self._cpu_clock is not None else None,
                device_s=device[phase] if self._pool is not None else None,
            )
            for phase in host
        }
