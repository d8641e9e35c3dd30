"""Device windows: whose time a moment of the device is, so that idle times add up exactly.

The window of a segment of host time reaches from the end of the last device activity that earlier
segments launched to the end of the last that it launched itself (METRICS.md). So the windows tile
the device's span: nothing is counted twice and nothing is left over. Where the device was waited
for at the end of each step, what lies between two steps (the profiler's own work) is of neither:
the window of the second begins no earlier than the step does on the host.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.intervals import Intervals, union
from seqprof.analysis.timeline.phases import OTHER, OUTSIDE, Segments
from seqprof.analysis.timeline.structure import Activities, Ints


class Windows(Struct, frozen=True):
    """Consecutive windows ``[bounds[i], bounds[i + 1])`` of one device, with step and phase.

    The last holds what follows the last launched activity: the tail of activities whose launch was
    not recorded.
    """

    bounds: Ints
    step: Ints
    phase: Ints

    def within(self, covered: Intervals) -> Ints:
        """Length of ``covered`` in each window."""
        return covered.within(self.bounds[:-1], self.bounds[1:])

    @property
    def length(self) -> Ints:
        return np.diff(self.bounds)

    def of(self, times: Ints) -> Ints:
        """The window in which each of ``times`` lies; empty windows never."""
        row = np.searchsorted(self.bounds, times, side="right") - 1
        return np.clip(row, 0, len(self.step) - 1)


def tile(activities: Activities, segment: Ints, segments: Segments) -> Windows:
    """Tile the span of one device's ``activities`` (not empty) by the segments that launched them.

    Args:
        segment: the segment of each activity's launch; -1 without one.
    """
    span_start, span_end = int(activities.start_ns[0]), int(activities.end_ns.max())
    reach = np.full(len(segments.step), span_start)
    launched = segment >= 0
    np.maximum.at(reach, segment[launched], activities.end_ns[launched])
    before = np.searchsorted(segments.start_ns, segments.settled_ns) - 1
    np.maximum.at(reach, before, np.clip(segments.settled_ns, span_start, span_end))
    bounds = np.concatenate(([span_start], np.maximum.accumulate(reach), [span_end]))
    return Windows(bounds, np.append(segments.step, OUTSIDE), np.append(segments.phase, OTHER))


def busy(activities: Activities) -> Intervals:
    """When anything ran: the union over all streams, in which overlaps count once."""
    return union(activities.start_ns, activities.end_ns)
