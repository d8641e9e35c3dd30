"""Activities that run over their successors on the same stream, which a stream does not allow.

Profilers are known to lose the end of a kernel and to write the time of a later flush in its place
(pytorch/kineto reports of kernels of 8 ms where 10 µs is right). Activities of one launch may
overlap truly: the branches of a graph bear the stream that the graph was launched on.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs

from seqprof.analysis.timeline.structure import Activities, Bools, Ints


def cut_overruns(activities: Activities) -> Activities:
    """End every activity that outlasts its successor on the stream where that one starts."""
    over, successor = overruns(activities)
    if not over.any():
        return activities
    ends = activities.end_ns.copy()
    ends[over] = activities.start_ns[successor[over]]
    return structs.replace(activities, end_ns=ends)


def overruns(activities: Activities) -> tuple[Bools, Ints]:
    """Which activities outlast the next one of their stream, and the row of that one."""
    order = np.argsort(activities.stream, kind="stable")
    stream, start = activities.stream[order], activities.start_ns[order]
    end, launch = activities.end_ns[order], activities.launch[order]
    over = np.zeros(len(order), dtype=np.bool_)
    over[:-1] = (
        (stream[1:] == stream[:-1])
        & (stream[:-1] >= 0)
        & (start[1:] > start[:-1])
        & (end[1:] < end[:-1])
        & (end[1:] > start[1:])
        & ((launch[1:] != launch[:-1]) | (launch[1:] < 0))
    )
    chosen, successor = np.zeros(len(order), dtype=np.bool_), np.zeros(len(order), dtype=np.int64)
    chosen[order] = over
    successor[order] = np.append(order[1:], 0)[: len(order)]
    return chosen, successor
