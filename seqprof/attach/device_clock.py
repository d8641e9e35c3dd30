"""The accelerator's own clock: a timed event on its stream beside each stamp and each mark.

An event costs the host a few microseconds, so bounded steps have none: the stamps of metered steps
and the timestep marks of probed ones have. Nothing waits for the device: the times of a step are
read when its last event has passed, at a later step or at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import torch

from seqprof.instruments.torch_bridge import make_event, synchronize

_NS_PER_MS = 1e6

Write = Callable[[bytes], None]


class DeviceClock:
    """Events of the metered steps and of the timestep marks of one device.

    Args:
        write_stamps: gets pairs of words: place of the stamp in the log, device time in ns since
            the first stamp of its step.
        write_marks: gets pairs of words: host time of the mark, device time in ns since the first
            mark of its forward and backward, plus 1.
    """

    def __init__(self, device: torch.device, write_stamps: Write, write_marks: Write) -> None:
        self._device = device
        self._free: list[Any] = []
        self._stamps = _Events(write_stamps, self._free, 0)
        self._marks = _Events(write_marks, self._free, 1)

    def stamp(self, place: int) -> None:
        """Record an event for the stamp at ``place`` of the log."""
        self._stamps.open.append((place, self._record()))

    def mark(self) -> int:
        """Record an event for a timestep mark; returns the host's time, by which it is known."""
        now = perf_counter_ns()
        self._marks.open.append((now, self._record()))
        return now

    def _record(self) -> Any:
        event = self._free.pop() if self._free else make_event(self._device, timed=True)
        event.record()
        return event

    def end_step(self) -> None:
        """The metered step is over: keep its events until they have passed."""
        self._stamps.close()

    def end_marks(self) -> None:
        """The marked forward and backward are over."""
        self._marks.close()

    def forget_marks(self) -> None:
        """Let go of the marks since the last that were ended."""
        self._free += [event for _, event in self._marks.open]
        self._marks.open.clear()

    def finish(self) -> None:
        """The window is over: wait for the device and read what is left."""
        if self._stamps.any or self._marks.any:
            synchronize(self._device)
            self.end_step()
            self.end_marks()


class HostMarks:
    """The host's clock in place of a device's, where timesteps are marked on the processor."""

    mark = staticmethod(perf_counter_ns)

    def end_marks(self) -> None:
        """Nothing has to be read later."""

    def forget_marks(self) -> None:
        """Nothing is held."""


class _Events:
    """Groups of events, each timed from its first, and read when its last has passed."""

    def __init__(self, write: Write, free: list[Any], first_ns: int) -> None:
        self._write, self._free, self._first_ns = write, free, first_ns
        self.open: list[tuple[int, Any]] = []
        self._closed: list[list[tuple[int, Any]]] = []

    @property
    def any(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.open or self._closed)

    def close(self) -> None:
        """The group is over; read those that have passed."""
        if self.open:
            self._closed.append(self.open)
            self.open = []
        while self._closed and self._closed[0][-1][1].query():
            self._read(self._closed.pop(0))

    def _read(self, group: list[tuple[int, Any]]) -> None:
        first = group[0][1]
        words = array("q")
        for word, event in group:
            since_ns = round(first.elapsed_time(event) * _NS_PER_MS)
            words.extend((word, since_ns + self._first_ns))
        self._write(words.tobytes())
        self._free += [event for _, event in group]
