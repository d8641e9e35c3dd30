"""From the stamps of single steps to the per-timestep quantiles of a recording."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seqprof.instruments.clocks import NS, EventPool
from seqprof.instruments.timesteps import LoopMarks
from seqprof.recording import Clock, LatencyMap, LoopTiming, TimestepLatency, TimestepOperations

Span = tuple[Any, Any]
Side = Literal["forward", "backward"]
SIDES: tuple[Side, ...] = ("forward", "backward")
_QUANTILES = (5, 25, 50, 75, 95)
#: Significant digits of a stored latency: finer than any noise, and the file stays small.
_DIGITS = 5
#: Cells of all maps of a trial, about 8 bytes each in the file, and their digits: they are looked
#: at as colours.
MAP_CELLS = 16_384
_MAP_DIGITS = 3
#: Most probed steps that a map keeps, evenly spread over all.
MAP_ROWS = 48


def host_seconds(span: Span) -> float | None:
    """Host time between two stamps, each nanoseconds or (nanoseconds, event)."""
    start, end = span
    if start is None or end is None:
        return None
    if isinstance(start, tuple):
        start, end = start[0], end[0]
    return float(end - start) * NS


def device_seconds(span: Span) -> float | None:
    """Device time between two stamps that carry completed events."""
    start, end = span
    if not (isinstance(start, tuple) and isinstance(end, tuple)):
        return None
    return EventPool.seconds(start[1], end[1])


_CLOCKS: dict[Clock, Callable[[Span], float | None]] = {
    "host": host_seconds,
    "device": device_seconds,
}


def spans(marks: LoopMarks, side: Side, timesteps: int) -> Iterator[tuple[int, int, Span]]:
    """Yield (micro-batch, timestep, stamps) of every call of one step.

    Args:
        timesteps: T; timestep t of micro-batch m is call ``m * T + t``.
    """
    span = marks.forward_span if side == "forward" else marks.backward_span
    for first, last in zip(marks.firsts, marks.lasts, strict=True):
        for i in range(first, last + 1):
            t = first + last - i if marks.loop.reverse else i
            yield i // timesteps, t % timesteps, span(i)


def loop_timings(marks: LoopMarks) -> list[LoopTiming]:
    """Time from the first to the last mark of a loop, forward and backward, over its segments."""
    timings = []
    sides: tuple[tuple[Side, list[Span]], ...] = (
        ("forward", marks.forward_segments()),
        ("backward", marks.backward_segments()),
    )
    for side, segments in sides:
        host = [host_seconds(span) for span in segments]
        device = [device_seconds(span) for span in segments]
        if host and None not in host:
            timings.append(
                LoopTiming(
                    loop=marks.loop.path,
                    phase=side,
                    host_s=math.fsum(s for s in host if s is not None),
                    device_s=None
                    if None in device
                    else math.fsum(s for s in device if s is not None),
                )
            )
    return timings


class LatencyTable:
    """Latencies of every timestep over the probed steps, one row a micro-batch of a step."""

    def __init__(self, timesteps: int, clocks: tuple[Clock, ...]) -> None:
        self._timesteps = timesteps
        self._clocks = clocks
        self._rows: dict[tuple[str, bool, Side, Clock], list[npt.NDArray[np.float64]]] = (
            defaultdict(list)
        )
        self._pairs: dict[tuple[str, bool, Side, Clock], list[int]] = defaultdict(list)

    def add(self, marks: LoopMarks, pair: int = 0) -> None:
        """Add the marks of one completed step, that of ``pair``."""
        sides: tuple[Side, ...] = ("forward", "backward")
        for side in sides:
            for clock in self._clocks:
                self._add(marks, side, clock, pair)

    def _add(self, marks: LoopMarks, side: Side, clock: Clock, pair: int) -> None:
        rows: dict[int, npt.NDArray[np.float64]] = {}
        for micro_batch, t, span in spans(marks, side, self._timesteps):
            seconds = _CLOCKS[clock](span)
            if seconds is not None:
                row = rows.setdefault(micro_batch, np.full(self._timesteps, np.nan))
                row[t] = seconds
        key = (marks.loop.path, marks.loop.reverse, side, clock)
        self._rows[key].extend(rows.values())
        self._pairs[key].extend([pair] * len(rows))

    def smallest_sample(self) -> int:
        """How often the least measured timestep was measured, forward or backward."""
        counts = [int(_counts(rows).min()) for rows in self._rows.values() if rows]
        return min(counts, default=0)

    def latencies(self) -> tuple[TimestepLatency, ...]:
        """Quantiles of each timestep; loops in order of their first call."""
        return tuple(
            _latency(loop, reverse, side, clock, rows)
            for (loop, reverse, side, clock), rows in self._rows.items()
            if rows
        )

    def maps(self) -> tuple[LatencyMap, ...]:
        """A bounded sample of single steps on the device's clock, or the host's where it is alone.

        All maps together have at most ``MAP_CELLS`` cells, or a column each.
        """
        kept = [key for key, rows in self._rows.items() if rows and key[3] == self._clocks[-1]]
        return tuple(
            _latency_map(key, self._rows[key], self._pairs[key], MAP_CELLS // len(kept))
            for key in kept
        )


def _latency_map(
    key: tuple[str, bool, Side, Clock],
    rows: list[npt.NDArray[np.float64]],
    pairs: list[int],
    most: int,
) -> LatencyMap:
    loop, _, side, clock = key
    timesteps = len(rows[0])
    steps = sorted(set(pairs))
    kept = [steps[i] for i in _spread(len(steps), min(MAP_ROWS, most))]
    # Where only every k-th timestep is marked in one step, a column has k, and so one that was.
    starts = _spread(timesteps, max(1, min(timesteps // _stride(rows), most // len(kept))))
    of_pair: dict[int, list[npt.NDArray[np.float64]]] = defaultdict(list)
    for pair, row in zip(pairs, rows, strict=True):
        of_pair[pair].append(row)
    return LatencyMap(
        loop=loop,
        phase=side,
        clock=clock,
        timesteps=timesteps,
        pairs=tuple(kept),
        starts=tuple(starts),
        mean_s=tuple(_stretch_means(np.stack(of_pair[pair]), starts) for pair in kept),
    )


def _stride(rows: list[npt.NDArray[np.float64]]) -> int:
    """The largest distance between marked timesteps, in a typical step."""
    marked = [np.flatnonzero(~np.isnan(row)) for row in rows]
    return int(np.median([np.diff(at).max() if len(at) > 1 else 1 for at in marked]))


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of ``range(count)``, from 0 on, evenly spread."""
    taken = min(count, most)
    return [index * count // taken for index in range(taken)]


def _stretch_means(table: npt.NDArray[np.float64], starts: list[int]) -> tuple[float | None, ...]:
    """Mean of what is known in each stretch of columns of ``[micro-batches, T]``."""
    known = ~np.isnan(table)
    counts = np.add.reduceat(known.sum(axis=0), starts)
    sums = np.add.reduceat(np.where(known, table, 0.0).sum(axis=0), starts)
    return tuple(
        float(f"{total / count:.{_MAP_DIGITS}g}") if count else None
        for total, count in zip(sums.tolist(), counts.tolist(), strict=True)
    )


def _counts(rows: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = np.sum(~np.isnan(np.stack(rows)), axis=0)
    return counts


def _latency(
    loop: str, reverse: bool, side: Side, clock: Clock, rows: list[npt.NDArray[np.float64]]
) -> TimestepLatency:
    table, counts = np.stack(rows), _counts(rows)
    seen = counts > 0
    statistics = np.full((1 + len(_QUANTILES), table.shape[1]), np.nan)
    if seen.any():
        statistics[0, seen] = np.nanmean(table[:, seen], axis=0)
        statistics[1:, seen] = np.nanpercentile(table[:, seen], _QUANTILES, axis=0)
    mean, p05, p25, p50, p75, p95 = (
        tuple(None if math.isnan(q) else float(f"{q:.{_DIGITS}g}") for q in row)
        for row in statistics
    )
    return TimestepLatency(
        loop=loop,
        phase=side,
        clock=clock,
        reverse=reverse,
        samples=tuple(int(n) for n in counts),
        mean_s=mean,
        p05_s=p05,
        p25_s=p25,
        p50_s=p50,
        p75_s=p75,
        p95_s=p95,
    )


def timestep_operations(marks: LoopMarks, timesteps: int) -> list[TimestepOperations]:
    """Operations per timestep of the first micro-batch; the stamps of ``marks`` are counts."""
    found = []
    sides: tuple[Side, ...] = ("forward", "backward")
    for side in sides:
        counts = {
            t: end - start
            for micro_batch, t, (start, end) in spans(marks, side, timesteps)
            if micro_batch == 0 and start is not None and end is not None
        }
        if len(counts) == len(range(timesteps)):
            found.append(
                TimestepOperations(
                    loop=marks.loop.path,
                    phase=side,
                    operations=tuple(counts[t] for t in range(timesteps)),
                )
            )
    return found
