"""Timestep marks of the measured iterations → latencies, maps and loop timings."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

from seqprof.analysis.loop.marks import SIDES, MarkedPass, Side
from seqprof.analysis.loop.process import Fact
from seqprof.analysis.run.latencies import DIGITS
from seqprof.recording import Clock, LoopTiming, TimestepSamples

Row = tuple[float | None, ...]
CLOCKS: tuple[Clock, ...] = ("host", "device")


class Latencies:
    """Blocks taken in one by one.

    Args:
        loops: what the agent said of each loop.
        device: of each mark, by the host's time: the accelerator's.
    """

    def __init__(self, loops: Sequence[Fact], device: Mapping[int, int]) -> None:
        self._facts = {int(fact["number"]): fact for fact in loops}
        self._device = device
        self._rows: dict[tuple[int, Side, Clock], list[tuple[int, Row]]] = defaultdict(list)

    def add(self, block: MarkedPass, pair: int) -> list[LoopTiming]:
        """Take in a block of the probed step of ``pair``; returns the loop's timings in it."""
        fact = self._facts.get(block.loop)
        if fact is None:
            return []
        there = block.on_device(self._device) if self._device else None
        timings = []
        for side in SIDES:
            self._take("host", block, side, pair)
            if there is not None:
                self._take("device", there, side, pair)
            whole = block.whole_s(side)
            if whole is not None:
                device_s = there.whole_s(side) if there is not None else None
                timings.append(
                    LoopTiming(loop=str(fact["path"]), phase=side, host_s=whole, device_s=device_s)
                )
        return timings

    def _take(self, clock: Clock, block: MarkedPass, side: Side, pair: int) -> None:
        fact = self._facts[block.loop]
        row = _row(block.seconds(side, int(fact["per_timestep"])), reverse=fact["reverse"])
        if any(value is not None for value in row):
            self._rows[block.loop, side, clock].append((pair, row))

    def samples(self) -> tuple[TimestepSamples, ...]:
        """All that was measured, one row a forward and backward, in order of the timestep."""
        return tuple(
            TimestepSamples(
                loop=str(self._facts[number]["path"]),
                phase=side,
                clock=clock,
                reverse=bool(self._facts[number]["reverse"]),
                pairs=tuple(pair for pair, _ in rows),
                rows=tuple(row for _, row in rows),
            )
            for number in self._facts
            for side in SIDES
            for clock in CLOCKS
            if (rows := self._rows[number, side, clock])
        )


def _row(seconds: Sequence[float | None], *, reverse: bool) -> Row:
    """In order of the timestep, to the digits that a recording keeps."""
    known = [None if value is None else float(f"{value:.{DIGITS}g}") for value in seconds]
    return tuple(known[::-1] if reverse else known)


def of_iteration(starts: Sequence[int], block: MarkedPass) -> int:
    """Index of the iteration that a block lies in; -1 before the first."""
    return bisect_right(starts, block.at_ns) - 1
