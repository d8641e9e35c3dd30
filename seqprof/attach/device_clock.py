"""The accelerator's own clock in metered steps: a timed event on its stream beside each stamp.

An event costs the host a few microseconds, so bounded steps have none. Nothing waits for the
device: the times of a step are read when its last event has passed, at a later step or at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import torch

from seqprof.instruments.torch_bridge import make_event, synchronize

_NS_PER_MS = 1e6


class DeviceClock:
    """Events of the metered steps of one device.

    Args:
        write: gets pairs of words: place of the stamp in the log, device time in ns since the first
            stamp of its step.
    """

    def __init__(self, device: torch.device, write: Callable[[bytes], None]) -> None:
        self._device = device
        self._write = write
        self._free: list[Any] = []
        self._step: list[tuple[int, Any]] = []
        self._passed: list[list[tuple[int, Any]]] = []

    def stamp(self, place: int) -> None:
        """Record an event for the stamp at ``place`` of the log."""
        event = self._free.pop() if self._free else make_event(self._device, timed=True)
        event.record()
        self._step.append((place, event))

    def end_step(self) -> None:
        """The metered step is over: keep its events until they have passed."""
        if self._step:
            self._passed.append(self._step)
            self._step = []
        while self._passed and self._passed[0][-1][1].query():
            self._read(self._passed.pop(0))

    def finish(self) -> None:
        """The window is over: wait for the device and read what is left."""
        if self._step or self._passed:
            synchronize(self._device)
            self.end_step()

    def _read(self, step: list[tuple[int, Any]]) -> None:
        first = step[0][1]
        words = array("q")
        for place, event in step:
            words.extend((place, round(first.elapsed_time(event) * _NS_PER_MS)))
        self._write(words.tobytes())
        self._free += [event for _, event in step]
