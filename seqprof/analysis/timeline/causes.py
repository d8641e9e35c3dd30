"""Why a device idled: each nanosecond of every gap has one cause, so that they add up exactly.

A gap is ended by the activity k that starts where it ends; k was launched at L. Up to L the host
had not asked for k: that part is what the host was doing meanwhile. From L on it is launch latency.
When L lies before the gap, k was queued and the device itself needed the gap.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.intervals import Intervals, gaps, union
from seqprof.analysis.timeline.phases import Phases
from seqprof.analysis.timeline.structure import (
    ANNOTATION,
    OPERATOR,
    RUNTIME,
    Activities,
    Bools,
    Ints,
    Timeline,
)

CAUSES = ("launch", "sync", "data", "communication", "dependency", "unknown")
_LAUNCH, _SYNC, _DATA, _COMMUNICATION, _DEPENDENCY, _UNKNOWN = range(len(CAUSES))

#: Runtime calls in which the host waits for the device: an explicit wait, a blocking copy (not
#: …Async), a free (which waits for the whole device).
_BLOCKING_CALL = (
    r"Synchronize|^(?:cuda|hip|cu)Memcpy(?!.*(?:Async|Peer))|^(?:cuda|hip)Free(?:Array|Host)?$"
    r"|^zeEventHostSynchronize|^urEventWait"
)
_ITEM = r"^aten::(?:_local_scalar_dense|item)$"
_DATA_WAIT = r"(?i)dataloader|load_batch|wait_for_batch|next_batch"
_COLLECTIVE_WAIT = r"(?i)(?:nccl|c10d|rccl|gloo).*(?:wait|barrier)|\bwait\(\)"


class Waits(Struct, frozen=True):
    """When the host stood still, by reason, on the threads that count for a launching thread."""

    data: Intervals
    communication: Intervals
    sync: Intervals

    def split(self, start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
        """Time in data, in collectives, in synchronization inside each window; the first counts."""
        data = self.data.within(start, end)
        either = _joined(self.data, self.communication)
        all_three = _joined(either, self.sync)
        with_communication = either.within(start, end)
        return (
            data,
            with_communication - data,
            all_three.within(start, end) - with_communication,
        )


class Gaps(Struct, frozen=True):
    """The gaps of one device, ``cause_ns[gap, cause]`` (columns as ``CAUSES``)."""

    where: Intervals
    cause_ns: Ints


def explain(timeline: Timeline, activities: Activities, covered: Intervals, phases: Phases) -> Gaps:
    """Split every gap of one device between its causes."""
    where = gaps(covered)
    cause = np.zeros((len(where), len(CAUSES)), dtype=np.int64)
    # Activities are ordered so that of those that start together a launched one comes first.
    ended_by = np.searchsorted(activities.start_ns, where.end, side="left")
    launch, row = activities.launch_ns[ended_by], activities.launch[ended_by]
    unknown = row < 0
    queued = ~unknown & (launch <= where.start)
    length = where.end - where.start
    cause[unknown, _UNKNOWN] = length[unknown]
    cause[queued, _DEPENDENCY] = length[queued]
    late = np.flatnonzero(~unknown & ~queued)
    until = np.minimum(launch[late], where.end[late])
    threads = timeline.host.thread[row[late]]
    for thread in distinct(threads):
        waits = host_waits(timeline, {int(thread), phases.main_thread})
        mine = threads == thread
        rows = late[mine]
        split = waits.split(where.start[rows], until[mine])
        for column, time in zip((_DATA, _COMMUNICATION, _SYNC), split, strict=True):
            cause[rows, column] = time
    cause[late, _LAUNCH] = length[late] - cause[late].sum(axis=1)
    return Gaps(where, cause)


def explain_processor(timeline: Timeline, covered: Intervals, phases: Phases) -> Gaps:
    """The same for operators on the processor: there is no launch, only what the host did."""
    where = gaps(covered)
    cause = np.zeros((len(where), len(CAUSES)), dtype=np.int64)
    split = host_waits(timeline, {phases.main_thread}).split(where.start, where.end)
    for column, time in zip((_DATA, _COMMUNICATION, _SYNC), split, strict=True):
        cause[:, column] = time
    cause[:, _LAUNCH] = where.end - where.start - cause.sum(axis=1)
    return Gaps(where, cause)


def host_waits(timeline: Timeline, threads: set[int]) -> Waits:
    """When any of ``threads`` waited, and for what."""
    host = timeline.host
    mine = among(host.thread, np.array(sorted(threads)))

    def chosen(pattern: str, *kinds: int) -> Bools:
        of_kind = among(host.kind, np.array(sorted(kinds)))
        matching: Bools = mine & of_kind & timeline.named(host.name, pattern)
        return matching

    blocking = chosen(_BLOCKING_CALL, RUNTIME)
    blocking |= _pageable_copies(timeline) & mine
    items = chosen(_ITEM, OPERATOR)
    # `.item()` of a tensor on the host waits for nothing; on the device it makes a blocking call.
    calls = np.sort(host.start_ns[blocking])
    has_call = np.searchsorted(calls, host.end_ns) > np.searchsorted(calls, host.start_ns)
    sync = blocking | (items & has_call)
    data = chosen(_DATA_WAIT, ANNOTATION)
    collective = chosen(_COLLECTIVE_WAIT, ANNOTATION, OPERATOR)
    return Waits(
        *(union(host.start_ns[rows], host.end_ns[rows]) for rows in (data, collective, sync))
    )


def _pageable_copies(timeline: Timeline) -> Bools:
    """Launching calls of copies from or to pageable memory, which block whatever their name."""
    rows = np.zeros(len(timeline.host), dtype=np.bool_)
    activities = timeline.activities
    pageable = timeline.named(activities.name, "Pageable") & (activities.launch >= 0)
    rows[activities.launch[pageable]] = True
    return rows


def _joined(one: Intervals, other: Intervals) -> Intervals:
    return union(np.concatenate((one.start, other.start)), np.concatenate((one.end, other.end)))
