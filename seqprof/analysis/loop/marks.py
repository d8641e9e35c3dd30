"""Blocks of timestep marks → the spans of each timestep.

The agent's blocks: six words (number of the loop, n calls, stride, offset, exit mark, end of the
first call's backward), n entries, n gradients; 0 where nothing was marked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

Side = Literal["forward", "backward"]
SIDES: tuple[Side, ...] = ("forward", "backward")
_HEAD = 6
_NS = 1e-9


@dataclass(frozen=True, slots=True)
class MarkedPass:
    """The marks of one loop over one forward and its backward, in ns of one clock."""

    loop: int
    stride: int
    exit: int
    end: int
    entries: array[int]
    gradients: array[int]

    @property
    def at_ns(self) -> int:
        """When the first call began."""
        return self.entries[0]

    def on_device(self, times: Mapping[int, int]) -> MarkedPass:
        """Return the same marks on an accelerator's clock; 0 where it was not read."""
        return replace(
            self,
            exit=times.get(self.exit, 0),
            end=times.get(self.end, 0),
            entries=array("q", [times.get(mark, 0) for mark in self.entries]),
            gradients=array("q", [times.get(mark, 0) for mark in self.gradients]),
        )

    def seconds(self, side: Side, per_timestep: int) -> list[float | None]:
        """Latency of each timestep, in the order of the calls; None where it was not marked."""
        return [None if n is None else n * _NS for n in self.spans(side, per_timestep)]

    def spans(self, side: Side, per_timestep: int) -> list[int | None]:
        """What each timestep took in the unit of the marks: ns, or operations."""
        bounds = list(pairwise(self._bounds(side, per_timestep)))
        if side == "backward":  # the gradient of h(t) comes before that of h(t - 1)
            bounds = [(start, stop) for stop, start in bounds]
        return [stop - start if start and stop else None for start, stop in bounds]

    def _bounds(self, side: Side, k: int) -> list[int]:
        """T + 1 marks, from the first timestep's bound on."""
        if side == "forward":
            return [*self.entries[::k], self.exit]
        return [self.end, *self.gradients[k - 1 :: k]]

    def whole_s(self, side: Side) -> float | None:
        """From the first mark of the loop to its last."""
        start, stop = (
            (self.entries[0], self.exit) if side == "forward" else (self.gradients[-1], self.end)
        )
        return (stop - start) * _NS if start and stop else None


def blocks(data: bytes) -> Iterator[MarkedPass]:
    """Read the blocks; one that was cut short is left out."""
    words = array("q")
    words.frombytes(data[: len(data) // 8 * 8])
    at = 0
    while at + _HEAD <= len(words):
        loop, calls, stride, _offset, exit_ns, end_ns = words[at : at + _HEAD]
        at += _HEAD
        if calls <= 0 or at + 2 * calls > len(words):
            return
        entries, gradients = words[at : at + calls], words[at + calls : at + 2 * calls]
        at += 2 * calls
        yield MarkedPass(loop, stride, exit_ns, end_ns, entries, gradients)
