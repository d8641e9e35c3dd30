"""One device over time: slices of its span, lanes of streams and threads, and the largest gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqprof.analysis.timeline.causes import CAUSES, Gaps
from seqprof.analysis.timeline.grouping import groups
from seqprof.analysis.timeline.intervals import Intervals, union
from seqprof.analysis.timeline.phases import OTHER, PHASES, Phases
from seqprof.analysis.timeline.processor import PROCESSOR, outermost_operators
from seqprof.analysis.timeline.structure import (
    OPERATOR,
    RUNTIME,
    Activities,
    Floats,
    Ints,
    Timeline,
)
from seqprof.recorded_axis import HostSpan, IdleGap, Lane, TimeAxis

#: Slices of the axis: two or three pixels each.
SLICES = 300
#: Streams, and threads, that have a lane; those with most work.
MOST_LANES = 6
#: Gaps that are listed.
MOST_GAPS = 10
#: Of more windows on the host the picture would be grey.
MOST_SPANS = 200


def time_axis(
    timeline: Timeline, activities: Activities, covered: Intervals, gaps: Gaps, phases: Phases
) -> TimeAxis | None:
    """Lay out one device's ``activities`` (not empty) over time; None where they have no length.

    Args:
        covered: when any of them ran.
        gaps: when none did, by cause.
    """
    start, end = int(activities.start_ns[0]), int(activities.end_ns.max())
    if end <= start:
        return None
    slices = min(SLICES, end - start)
    edges = start + np.arange(slices + 1) * (end - start) // slices
    is_processor = int(activities.device[0]) == PROCESSOR
    streams = [] if is_processor else list(_streams(activities, edges))
    threads = list(_threads(timeline, phases, edges))
    by_cause = _by_cause(gaps, edges)
    return TimeAxis(
        start_ns=start,
        length_ns=end - start,
        busy=_shares(covered.within(edges[:-1], edges[1:]), edges),
        idle_by_cause={
            cause: _shares(by_cause[column], edges)
            for column, cause in enumerate(CAUSES)
            if by_cause[column].any()
        },
        streams=tuple(streams[:MOST_LANES]),
        threads=tuple(threads[:MOST_LANES]),
        lanes_left_out=len(streams[MOST_LANES:]) + len(threads[MOST_LANES:]),
        phases=_phases(phases, start, end),
        gaps=tuple(_largest(timeline, activities, gaps, phases, start)),
    )


def _shares(lengths: Ints | Floats, edges: Ints) -> tuple[float, ...]:
    return tuple((lengths / np.diff(edges)).clip(0.0, 1.0).round(3).tolist())


def _by_cause(gaps: Gaps, edges: Ints) -> Floats:
    """Idle by cause in each slice, [causes, slices]: a gap's causes are spread over all of it."""
    where = gaps.where
    if not len(where):
        return np.zeros((len(CAUSES), len(edges) - 1))
    row = np.searchsorted(where.start, edges, side="right") - 1
    at = np.maximum(row, 0)
    length = np.maximum(where.end[at] - where.start[at], 1)
    left = 1 - ((edges - where.start[at]) / length).clip(0.0, 1.0)
    by_cause = np.zeros((len(CAUSES), len(edges) - 1))
    for cause in np.flatnonzero(gaps.cause_ns.any(axis=0)):
        until = np.cumsum(gaps.cause_ns[:, cause])[at] - gaps.cause_ns[at, cause] * left
        by_cause[cause] = np.diff(np.where(row >= 0, until, 0.0))
    return by_cause


def _streams(activities: Activities, edges: Ints) -> Iterator[Lane]:
    yield from _lanes("stream", activities.stream, activities.start_ns, activities.end_ns, edges)


def _threads(timeline: Timeline, phases: Phases, edges: Ints) -> Iterator[Lane]:
    """Threads by what they did: operators and calls of the runtime."""
    host = timeline.host
    works = (host.kind == OPERATOR) | (host.kind == RUNTIME)
    works &= (host.end_ns > edges[0]) & (host.start_ns < edges[-1])
    rows: Ints = np.flatnonzero(works)
    main = f"thread {phases.main_thread}"
    columns = (host.thread[rows], host.start_ns[rows], host.end_ns[rows])
    for lane in _lanes("thread", *columns, edges):
        yield Lane(name=f"{lane.name} (main)", busy=lane.busy) if lane.name == main else lane


def _lanes(kind: str, of: Ints, start: Ints, end: Ints, edges: Ints) -> list[Lane]:
    """One lane for each value of ``of``, the one with most work first."""
    order, begins, sizes = groups(of)
    measured = []
    for begin, size in zip(begins, sizes, strict=True):
        rows = order[begin : begin + size]
        inside = union(start[rows], end[rows]).within(edges[:-1], edges[1:])
        measured.append((int(inside.sum()), int(of[rows[0]]), inside))
    measured.sort(key=lambda each: (-each[0], each[1]))
    return [
        Lane(name=f"{kind} {number}", busy=_shares(inside, edges)) for _, number, inside in measured
    ]


def _phases(phases: Phases, start: int, end: int) -> tuple[HostSpan, ...]:
    """The phases as the host went through them, cut at the ends of the axis."""
    segments = phases.segments
    begins = np.clip(segments.start_ns, start, end)
    ends = np.append(begins[1:], end)
    shown = np.flatnonzero((segments.phase != OTHER) & (ends > begins))
    if len(shown) > MOST_SPANS:
        return ()
    return tuple(
        HostSpan(
            name=PHASES[int(segments.phase[row])],
            start_ns=int(begins[row]) - start,
            end_ns=int(ends[row]) - start,
        )
        for row in shown
    )


def _largest(
    timeline: Timeline, activities: Activities, gaps: Gaps, phases: Phases, start: int
) -> Iterator[IdleGap]:
    where, names = gaps.where, timeline.names
    lengths = where.end - where.start
    rows = np.argsort(-lengths, kind="stable")[:MOST_GAPS]
    ended_by = np.searchsorted(activities.start_ns, where.end[rows], side="left")
    launchers = _launchers(timeline, activities, ended_by)
    for row, following, launcher in zip(rows, ended_by, launchers, strict=True):
        cause = int(np.argmax(gaps.cause_ns[row]))
        launch_ns = int(activities.launch_ns[following])
        segment = int(phases.segments.at(np.array([launch_ns]))[0]) if launch_ns >= 0 else -1
        last = int(np.argmax(activities.end_ns == where.start[row]))
        yield IdleGap(
            start_ns=int(where.start[row]) - start,
            end_ns=int(where.end[row]) - start,
            cause=CAUSES[cause],
            cause_share=round(float(gaps.cause_ns[row, cause] / max(lengths[row], 1)), 3),
            after=names[activities.name[last]],
            ended_by=names[activities.name[following]],
            launched_by=launcher,
            phase=PHASES[int(phases.segments.phase[segment])] if segment >= 0 else "other",
        )


def _launchers(timeline: Timeline, activities: Activities, rows: Ints) -> list[str | None]:
    """The outermost operator in which each activity was launched, on the launching thread."""
    if int(activities.device[0]) == PROCESSOR:
        return [None] * len(rows)
    operators = outermost_operators(timeline)
    launchers: list[str | None] = []
    for row in rows:
        call, at_ns = int(activities.launch[row]), int(activities.launch_ns[row])
        if call < 0:
            launchers.append(None)
            continue
        around = (operators.start_ns <= at_ns) & (operators.end_ns > at_ns)
        at = np.flatnonzero(around & (operators.stream == timeline.host.thread[call]))
        launchers.append(timeline.names[operators.name[at[0]]] if len(at) else None)
    return launchers
