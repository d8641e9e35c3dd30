"""From the stamps of single steps to the samples of timesteps that a recording keeps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal

from seqprof.analysis.run.latencies import DIGITS
from seqprof.analysis.statistics import median
from seqprof.instruments.clocks import NS, EventPool
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.timesteps import LoopMarks, SegmentMarks
from seqprof.recording import Clock, LoopTiming, TimestepOperations, TimestepSamples

Span = tuple[Any, Any]
Side = Literal["forward", "backward"]
Row = tuple[float | None, ...]
#: Loop, whether it is reversed, side and clock.
_Key = tuple[str, bool, Side, Clock]
SIDES: tuple[Side, ...] = ("forward", "backward")


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


def spans(segment: SegmentMarks, loop: TimestepLoop, side: Side) -> Iterator[tuple[int, Span]]:
    """Yield (index, stamps) of every span of one forward.

    The index is that of the span along the micro-batch: the timestep, unless a span is of several.
    """
    span = segment.forward_span if side == "forward" else segment.backward_span
    for position in range(segment.positions):
        yield loop.index(position, segment.timesteps), span(position)


def by_micro_batch(
    marks: LoopMarks, timesteps: Sequence[int]
) -> Iterator[tuple[int, int, SegmentMarks]]:
    """Yield (micro-batch, spans of it before the forward, forward) of one step.

    Args:
        timesteps: T of each micro-batch of the step.
    """
    ends, rule = list(accumulate(timesteps)), marks.loop.rule
    calls: dict[int, int] = defaultdict(int)
    for segment in marks.segments:
        micro_batch = bisect_right(ends, segment.start)
        if micro_batch < len(ends):
            before = segment.start - (ends[micro_batch] - timesteps[micro_batch])
            first = calls[micro_batch] if marks.loop.by_call else before // rule.every
            calls[micro_batch] += segment.positions
            yield micro_batch, first, segment


def loop_timings(marks: LoopMarks) -> list[LoopTiming]:
    """Time from the first to the last mark of a loop, forward and backward, over its forwards."""
    timings = []
    segments = [segment for segment in marks.segments if segment.positions]
    sides: tuple[tuple[Side, list[Span]], ...] = (
        ("forward", [segment.forward_whole() for segment in segments]),
        ("backward", [segment.backward_whole() for segment in segments]),
    )
    for side, wholes in sides:
        host = [host_seconds(span) for span in wholes]
        device = [device_seconds(span) for span in wholes]
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

    def __init__(self, clocks: tuple[Clock, ...]) -> None:
        self._clocks = clocks
        self._rows: dict[_Key, list[Row]] = defaultdict(list)
        self._pairs: dict[_Key, list[int]] = defaultdict(list)
        #: How often each timestep was measured.
        self._counts: dict[_Key, list[int]] = defaultdict(list)

    def add(self, marks: LoopMarks, timesteps: Sequence[int], pair: int = 0) -> None:
        """Add the marks of one completed step, that of ``pair``; T of each of its micro-batches."""
        for side in SIDES:
            for clock in self._clocks:
                self._add(marks, side, clock, timesteps, pair)

    def _add(
        self, marks: LoopMarks, side: Side, clock: Clock, timesteps: Sequence[int], pair: int
    ) -> None:
        known: dict[int, dict[int, float]] = defaultdict(dict)
        lengths: dict[int, int] = defaultdict(int)
        for micro_batch, first, segment in by_micro_batch(marks, timesteps):
            lengths[micro_batch] = max(lengths[micro_batch], first + segment.positions)
            for at, span in spans(segment, marks.loop, side):
                seconds = _CLOCKS[clock](span)
                if seconds is not None:
                    known[micro_batch][first + at] = seconds
        rows = [_row(lengths[micro_batch], values) for micro_batch, values in known.items()]
        key = (marks.loop.path, marks.loop.reverse, side, clock)
        self._rows[key].extend(rows)
        self._pairs[key].extend([pair] * len(rows))
        counts = self._counts[key]
        for row in rows:
            counts.extend([0] * (len(row) - len(counts)))
            for at, value in enumerate(row):
                counts[at] += value is not None

    def smallest_sample(self) -> int:
        """How often the least measured timestep was measured, of those that most steps have."""
        counts = [
            min(self._counts[key][: int(median([len(row) for row in rows]))], default=len(rows))
            for key, rows in self._rows.items()
            if rows
        ]
        return min(counts, default=0)

    def samples(self) -> tuple[TimestepSamples, ...]:
        """All that was measured; loops in order of their first call."""
        return tuple(
            TimestepSamples(
                loop=loop,
                phase=side,
                clock=clock,
                reverse=reverse,
                pairs=tuple(self._pairs[loop, reverse, side, clock]),
                rows=tuple(rows),
            )
            for (loop, reverse, side, clock), rows in self._rows.items()
            if rows
        )


def _row(length: int, values: Mapping[int, float]) -> Row:
    """Seconds by span of one micro-batch; None where it was not marked."""
    known = {at: float(f"{seconds:.{DIGITS}g}") for at, seconds in values.items()}
    return tuple(known.get(at) for at in range(length))


def timestep_operations(marks: LoopMarks, timesteps: Sequence[int]) -> list[TimestepOperations]:
    """Operations per timestep of the first micro-batch; the stamps of ``marks`` are counts.

    Nothing where some timestep has no marks.
    """
    timings = []
    for side in SIDES:
        counts: dict[int, int] = {}
        for micro_batch, first, segment in by_micro_batch(marks, timesteps):
            for at, (start, end) in spans(segment, marks.loop, side):
                if micro_batch == 0 and start is not None and end is not None:
                    counts[first + at] = end - start
        if counts and len(counts) == max(counts) + 1:
            timings.append(
                TimestepOperations(
                    loop=marks.loop.path,
                    phase=side,
                    operations=tuple(counts[t] for t in range(len(counts))),
                )
            )
    return timings
