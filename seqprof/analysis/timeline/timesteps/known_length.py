"""Timesteps of a trace whose maker knows T, as seqprof does of the steps that it profiles itself.

A stack of layers repeats as a loop over timesteps does, and where the loop holds no parameters
(a scan, a linear recurrence) nothing in the trace tells them apart. But layers are as many at every
T: if a longer sequence launches more operators, repeats that are as many as the timesteps are
timesteps.
"""

from __future__ import annotations

import numpy as np

from seqprof.analysis.timeline.structure import Ints, Timeline
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS
from seqprof.analysis.timeline.timesteps.verdict import STACKED, Evidence, RecurrenceVerdict

#: Repeats beyond T that may be what precedes or follows the loop and looks like one of it.
_BESIDE = 2


def by_length(timeline: Timeline, one: Pass, loop: RepeatLoop) -> RecurrenceVerdict | None:
    """Timesteps, where there are as many repeats as the sequence has, or one less or more."""
    for timesteps in timeline.timesteps.get(one.step, ()):
        for each in _of_length(one, loop, timesteps):
            if abs(each[0].repeats - timesteps) <= 1:
                joined = len(each) == 1 and each[0].repeats * 2 <= loop.repeats
                evidence: Evidence = (
                    "multiple of its length" if joined else "length of the sequence"
                )
                return RecurrenceVerdict(evidence, each)
    return None


def ends_settled(timeline: Timeline, one: Pass, verdict: RecurrenceVerdict) -> RecurrenceVerdict:
    """The verdict, its loops less what at their ends only looks like one more timestep."""
    lengths = timeline.timesteps.get(one.step, ())
    if not lengths or not verdict.loops:
        return verdict
    loops = tuple(
        next(
            (shorter for timesteps in lengths if (shorter := _less_its_ends(one, loop, timesteps))),
            loop,
        )
        for loop in verdict.loops
    )
    return RecurrenceVerdict(verdict.evidence, loops, verdict.begun)


def _of_length(one: Pass, loop: RepeatLoop, timesteps: int) -> list[tuple[RepeatLoop, ...]]:
    """The loop, or the loops in it, that may go over so many timesteps; none where none does."""
    shorter = _less_its_ends(one, loop, timesteps) or loop
    if abs(shorter.repeats - timesteps) <= 1:
        return [(shorter,)]
    several, rest = divmod(loop.repeats, timesteps)
    if rest or not 1 < several <= STACKED or timesteps < MIN_REPEATS:
        return []
    return [_several(loop, timesteps, several)]


def _several(loop: RepeatLoop, timesteps: int, several: int) -> tuple[RepeatLoop, ...]:
    """Loops one after another where something lies between them, else states that take turns.

    Two directions with nothing between look like the latter: their mean is right, not their order.
    """
    lengths = np.diff(loop.bounds())
    last = np.arange(1, several) * timesteps - 1
    usual = int(np.median(lengths))
    if (np.minimum(lengths[last], lengths[last + 1]) < usual).any():
        return loop.split((last + 1).tolist())
    between = (lengths[last] > usual) | (lengths[last + 1] > usual)
    return loop.split((last + 1).tolist()) if between.all() else (loop.every(several),)


def _less_its_ends(one: Pass, loop: RepeatLoop, timesteps: int) -> RepeatLoop | None:
    """The loop of so many timesteps, less first and last repeats that are none; None if it has not.

    An end of which all repeats are alike is left: such a loop has a timestep of its own more.
    """
    names, whole = one.activities.name, loop
    if not timesteps < loop.repeats <= timesteps + _BESIDE or timesteps < MIN_REPEATS:
        return None
    middle = loop.repeats // 2
    usual = names[loop.starts[middle] : loop.starts[middle + 1]]
    while loop.repeats > timesteps:
        first = names[loop.starts[0] : loop.starts[1]]
        last = names[loop.starts[-1] : loop.end]
        unlike_first, unlike_last = _unlike(first, usual), _unlike(last, usual)
        if not max(unlike_first, unlike_last):
            return None if loop.repeats == whole.repeats else loop
        if unlike_first > unlike_last:
            loop = RepeatLoop(loop.starts[1:], loop.end)
        else:
            loop = RepeatLoop(loop.starts[:-1], loop.starts[-1])
    return loop


def _unlike(one: Ints, other: Ints) -> int:
    """How many names only one of two repeats has."""
    size = int(max(one.max(), other.max())) + 1
    counts = np.bincount(one, minlength=size) - np.bincount(other, minlength=size)
    return int(np.abs(counts).sum())
