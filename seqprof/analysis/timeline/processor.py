"""Operators on the processor in the place of device activities, for traces without a device."""

from __future__ import annotations

import numpy as np

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import KERNEL, OPERATOR, Activities, Ints, Timeline

#: ``Activities.device`` of operators on the processor.
PROCESSOR = -2


def outermost_operators(timeline: Timeline) -> Activities:
    """Operators not inside another one of their thread, as activities that launch themselves."""
    host = timeline.host
    rows = np.flatnonzero(host.kind == OPERATOR)
    rows = rows[np.lexsort((-host.end_ns[rows], host.start_ns[rows], host.thread[rows]))]
    keep = np.ones(len(rows), dtype=np.bool_)
    for thread in distinct(host.thread[rows]):
        mine = np.flatnonzero(host.thread[rows] == thread)
        reach = np.maximum.accumulate(host.end_ns[rows[mine]])
        keep[mine[1:]] = host.start_ns[rows[mine[1:]]] >= reach[:-1]
    return _as_activities(timeline, np.sort(rows[keep]))


def inner_operators(timeline: Timeline, row: int) -> Activities:
    """The outermost operators inside the host event ``row``, on its thread."""
    host = timeline.host
    # Rows are in order of start: what is inside begins behind it and before its end.
    stop = int(np.searchsorted(host.start_ns, host.end_ns[row], side="left"))
    rows = np.arange(row + 1, stop)
    rows = rows[(host.kind[rows] == OPERATOR) & (host.thread[rows] == host.thread[row])]
    reach = np.maximum.accumulate(host.end_ns[rows])
    keep = np.append(True, host.start_ns[rows[1:]] >= reach[:-1])[: len(rows)]
    return _as_activities(timeline, rows[keep])


def _as_activities(timeline: Timeline, rows: Ints) -> Activities:
    host = timeline.host
    count = len(rows)
    return Activities(
        device=np.full(count, PROCESSOR),
        stream=host.thread[rows],
        start_ns=host.start_ns[rows],
        end_ns=host.end_ns[rows],
        kind=np.full(count, KERNEL),
        name=host.name[rows],
        launch=rows,
        launch_ns=host.start_ns[rows],
        bytes=np.zeros(count, dtype=np.int64),
        group=np.zeros(count, dtype=np.int64),
        seq=np.full(count, -1),
    )
