"""Timestep marks of the measured iterations → latencies, maps and loop timings."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from seqprof.analysis.loop.marks import SIDES, MarkedPass, Side
from seqprof.analysis.loop.process import Fact
from seqprof.analysis.run.latencies import DIGITS
from seqprof.recording import LoopTiming, TimestepSamples

Row = tuple[float | None, ...]


class Latencies:
    """Blocks taken in one by one.

    Args:
        loops: what the agent said of each loop.
    """

    def __init__(self, loops: Sequence[Fact]) -> None:
        self._facts = {int(fact["number"]): fact for fact in loops}
        self._rows: dict[tuple[int, Side], list[tuple[int, Row]]] = defaultdict(list)

    def add(self, block: MarkedPass, pair: int) -> list[LoopTiming]:
        """Take in a block of the probed step of ``pair``; returns the loop's timings in it."""
        fact = self._facts.get(block.loop)
        if fact is None:
            return []
        timings = []
        for side in SIDES:
            row = _row(block.seconds(side, int(fact["per_timestep"])), reverse=fact["reverse"])
            if any(value is not None for value in row):
                self._rows[block.loop, side].append((pair, row))
            whole = block.whole_s(side)
            if whole is not None:
                timings.append(LoopTiming(loop=str(fact["path"]), phase=side, host_s=whole))
        return timings

    def samples(self) -> tuple[TimestepSamples, ...]:
        """All that was measured, one row a forward and backward, in order of the timestep."""
        return tuple(
            TimestepSamples(
                loop=str(self._facts[number]["path"]),
                phase=side,
                clock="host",
                reverse=bool(self._facts[number]["reverse"]),
                pairs=tuple(pair for pair, _ in rows),
                rows=tuple(row for _, row in rows),
            )
            for number in self._facts
            for side in SIDES
            if (rows := self._rows[number, side])
        )


def _row(seconds: Sequence[float | None], *, reverse: bool) -> Row:
    """In order of the timestep, to the digits that a recording keeps."""
    known = [None if value is None else float(f"{value:.{DIGITS}g}") for value in seconds]
    return tuple(known[::-1] if reverse else known)


def of_iteration(starts: Sequence[int], block: MarkedPass) -> int:
    """Index of the iteration that a block lies in; -1 before the first."""
    return bisect_right(starts, block.at_ns) - 1
