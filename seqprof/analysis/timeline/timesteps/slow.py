"""From a slow timestep to what ran in it: the slowest of a pass with their activities."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.intervals import union
from seqprof.analysis.timeline.structure import Activities, Ints, Timeline

#: Timesteps that are opened, and what is listed of each.
MOST_TIMESTEPS, MOST_ACTIVITIES = 3, 40


class TimestepActivity(Struct, frozen=True, kw_only=True):
    """A kernel or operator of one timestep; ``start_ns`` since the timestep begins.

    ``idle_before_ns``: how long nothing ran before it, within the timestep.
    """

    name: str
    stream: int
    start_ns: int
    duration_ns: int
    idle_before_ns: int


class OpenedTimestep(Struct, frozen=True, kw_only=True):
    """One of the slowest timesteps of a pass. ``start_ns`` is on the profiler's clock.

    ``count`` is how many activities begin in it; ``activities`` are the first of them.
    """

    timestep: int
    start_ns: int
    latency_ns: int
    gap_ns: int
    count: int
    activities: tuple[TimestepActivity, ...]


def slowest(
    timeline: Timeline, activities: Activities, edges_ns: Ints, gap_ns: Ints
) -> tuple[OpenedTimestep, ...]:
    """Open the timesteps that took longest, the slowest first.

    Args:
        activities: those of the loop, in any order.
        edges_ns: where the timesteps begin, and where the last ends, [timesteps + 1].
        gap_ns: how long nothing ran in each, [timesteps].
    """
    latency = np.diff(edges_ns)
    order = np.argsort(-latency, kind="stable")[:MOST_TIMESTEPS]
    return tuple(
        OpenedTimestep(
            timestep=int(row),
            start_ns=int(edges_ns[row]),
            latency_ns=int(latency[row]),
            gap_ns=int(gap_ns[row]),
            count=int(_begin_in(activities, edges_ns, row).sum()),
            activities=_opened(timeline, activities, edges_ns, row),
        )
        for row in order
    )


def _begin_in(activities: Activities, edges_ns: Ints, row: int) -> Ints:
    inside: Ints = (activities.start_ns >= edges_ns[row]) & (
        activities.start_ns < edges_ns[row + 1]
    )
    return inside


def _opened(
    timeline: Timeline, activities: Activities, edges_ns: Ints, row: int
) -> tuple[TimestepActivity, ...]:
    rows = np.flatnonzero(_begin_in(activities, edges_ns, row))
    rows = rows[np.argsort(activities.start_ns[rows], kind="stable")][:MOST_ACTIVITIES]
    mine = activities.at(rows)
    begin = int(edges_ns[row])
    ran = union(activities.start_ns, activities.end_ns)
    # Nothing ran between the last that ended before it and its own start.
    reach = np.concatenate(([begin], np.maximum.accumulate(mine.end_ns)[:-1]))[: len(mine)]
    idle = (mine.start_ns - reach) - ran.within(np.minimum(reach, mine.start_ns), mine.start_ns)
    return tuple(
        TimestepActivity(
            name=timeline.names[mine.name[at]],
            stream=int(mine.stream[at]),
            start_ns=int(mine.start_ns[at]) - begin,
            duration_ns=int(mine.end_ns[at] - mine.start_ns[at]),
            idle_before_ns=max(0, int(idle[at])),
        )
        for at in range(len(mine))
    )
