"""Sets of half-open intervals on the integer nanosecond line."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.structure import Bools, Ints

_NONE = np.empty(0, dtype=np.int64)


class Intervals(Struct, frozen=True):
    """Disjoint intervals ``[start, end)`` in ascending order; they do not touch each other."""

    start: Ints
    end: Ints

    @property
    def length(self) -> int:
        """Total length in nanoseconds."""
        return int((self.end - self.start).sum())

    def __len__(self) -> int:
        return len(self.start)

    def before(self, times: Ints) -> Ints:
        """Length of the set that lies before each of ``times``."""
        if not len(self.start):
            return np.zeros(len(times), dtype=np.int64)
        ahead = np.concatenate(([0], np.cumsum(self.end - self.start)))
        last = np.searchsorted(self.start, times, side="right") - 1
        row = np.maximum(last, 0)
        inside = np.minimum(times, self.end[row]) - self.start[row]
        length: Ints = np.where(last < 0, 0, ahead[row] + inside)
        return length

    def within(self, start: Ints, end: Ints) -> Ints:
        """Length of the set inside each window ``[start[i], end[i])``."""
        length: Ints = np.maximum(self.before(end) - self.before(start), 0)
        return length

    def common(self, other: Intervals) -> int:
        """Length of the intersection with ``other``."""
        return int(self.within(other.start, other.end).sum())

    def contains(self, times: Ints) -> Bools:
        """Whether each of ``times`` lies inside the set."""
        if not len(self.start):
            return np.zeros(len(times), dtype=np.bool_)
        last = np.searchsorted(self.start, times, side="right") - 1
        return (last >= 0) & (times < self.end[np.maximum(last, 0)])


def union(start: Ints, end: Ints) -> Intervals:
    """The union of the intervals ``[start[i], end[i])``, in any order; O(n log n)."""
    if not len(start):
        return Intervals(_NONE, _NONE)
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.concatenate(([True], start[1:] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return Intervals(start[first], reach[last])


def union_by_group(start: Ints, end: Ints, group: Ints, groups: int) -> Ints:
    """Length of the union of the intervals of each group (0 … groups − 1); O(n log n)."""
    length = np.zeros(groups, dtype=np.int64)
    if not len(start):
        return length
    order = np.lexsort((start, group))
    start, end, group = start[order], np.maximum(end, start)[order], group[order]
    # Ranks stand for times: in them groups can be laid one after another without an overflow.
    times = np.sort(np.concatenate((start, end)))
    offset = group * len(times)
    ranks = np.maximum.accumulate(np.searchsorted(times, end) + offset)
    reach = times[ranks - offset]
    same = np.concatenate(([False], group[1:] == group[:-1]))
    begun = start.copy()
    begun[1:] = np.where(same[1:], np.maximum(start[1:], reach[:-1]), start[1:])
    np.add.at(length, group, np.maximum(end - begun, 0))
    return length


def gaps(covered: Intervals) -> Intervals:
    """What lies between the intervals of ``covered``."""
    return Intervals(covered.end[:-1], covered.start[1:])
