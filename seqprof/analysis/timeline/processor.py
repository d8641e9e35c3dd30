"""Operators on the processor in the place of device activities, for traces without a device."""

from __future__ import annotations

import numpy as np

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import KERNEL, OPERATOR, Activities, Timeline

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
    rows = np.sort(rows[keep])
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
    )
