"""Where a stamp of the host's clock lies on the clock of a trace.

A range that was opened between two stamps began, on the profiler's clock, between them: each bounds
the difference of the clocks from both sides, and many of them together bound it tightly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.structure import ANNOTATION, Ints, Timeline


class Alignment(Struct, frozen=True):
    """Trace clock less host clock at some times of the host clock, to within ``error_ns``."""

    host_ns: tuple[int, ...]
    offset_ns: tuple[int, ...]
    error_ns: int

    def to_trace(self, host_ns: Sequence[int] | Ints) -> Ints:
        """Times of the host clock as times of the trace, integer nanoseconds."""
        times = np.asarray(host_ns, dtype=np.int64)
        # The offset is too large for a float's nanoseconds: only its change is interpolated.
        change = np.array(self.offset_ns, dtype=np.int64) - self.offset_ns[0]
        at = np.array(self.host_ns, dtype=np.int64) - self.host_ns[0]
        drift = np.rint(np.interp(times - self.host_ns[0], at, change)).astype(np.int64)
        moved: Ints = times + self.offset_ns[0] + drift
        return moved


def align(
    timeline: Timeline, around: Sequence[tuple[str, Sequence[tuple[int, int]]]]
) -> Alignment | None:
    """Tie the clocks by ranges of known times; None where the trace does not hold them.

    Args:
        around: name of ranges → host clock before and after each of them was opened, in order.
    """
    host = timeline.host
    at, offsets, errors = [], [], []
    for name, stamps in around:
        if name not in timeline.names or not stamps:
            return None
        named = (host.kind == ANNOTATION) & (host.name == timeline.names.index(name))
        begun = np.sort(host.start_ns[named])
        if len(begun) != len(stamps):
            return None
        before, after = np.array(stamps, dtype=np.int64).T
        lowest, highest = int((begun - after).max()), int((begun - before).min())
        at.append(int(before[0]))
        offsets.append((lowest + highest) // 2)
        # Where the bounds contradict each other, a clock was set meanwhile: the error says so.
        errors.append((abs(highest - lowest) + 1) // 2)
    return Alignment(tuple(at), tuple(offsets), max(errors)) if at else None
