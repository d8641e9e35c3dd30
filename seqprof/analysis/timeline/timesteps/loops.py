"""Loops of one pass: consecutive repeats, each a stretch of the pass's activities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct, structs

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.structure import Bools, Floats, Ints
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import (
    MIN_LIKENESS,
    MIN_REPEATS,
    Period,
    alike_length,
    likeness,
    occurs,
)

#: Repeats of a loop beside another, and the longest of them, that are compared with its ends.
_BEFORE, _LONGEST_BESIDE = 3, 200
#: Activities before a loop that show, where they recur in it, that another begins there.
_BEGINNING = 3
#: Loops that may follow one another without a break; more are something else in the loop.
FOLLOWING = 8
#: Turns of a loop that are tried, the nearest ones.
_TURNS = 16
#: Share of a pattern beside a loop in which a first or last repeat that differs may lie.
_MARGIN = 1.25
#: Share of the pattern, in order, of which such a repeat must hold more.
_LEAST_LIKENESS = 0.5


class RepeatLoop(Struct, frozen=True):
    """Repeat i is the activities from ``starts[i]`` to the next start; the last ends at ``end``."""

    starts: tuple[int, ...]
    end: int

    @property
    def repeats(self) -> int:
        return len(self.starts)

    def bounds(self) -> Ints:
        """Where each repeat begins, and where the last ends, [repeats + 1]."""
        return np.array((*self.starts, self.end), dtype=np.int64)

    def edges_ns(self, one: Pass) -> Ints:
        """The same in host time: when the operators that launch them begin."""
        return one.begun_at(self.bounds())

    def every(self, cells: int) -> RepeatLoop:
        """The loop whose repeats are ``cells`` of these each; what is left over is cut off."""
        whole = self.repeats // cells * cells
        end = self.starts[whole] if whole < self.repeats else self.end
        return RepeatLoop(self.starts[:whole:cells], end)

    def split(self, at: Sequence[int], cells: int = 1) -> tuple[RepeatLoop, ...]:
        """Loops that begin at these repeats, each timestep of which is ``cells`` of the repeats.

        A part too short for a loop belongs to none: another loop may begin in the last repeat.
        """
        begins = [0, *(begin for begin in at if begin > 0)]
        stops = [*begins[1:], self.repeats]
        bounds = self.bounds()
        return tuple(
            RepeatLoop(self.starts[begin:stop], int(bounds[stop])).every(cells)
            for begin, stop in zip(begins, stops, strict=True)
            if stop - begin >= MIN_REPEATS * cells
        )


def loops_of(symbols: Ints, level: Period) -> list[RepeatLoop]:
    """The runs of a level as loops, their first and last repeats settled."""
    runs = [run for run in level.runs if run.repeats >= MIN_REPEATS]
    ceilings = [*(run.starts[0] for run in runs[1:]), len(symbols)]
    loops: list[RepeatLoop] = []
    for run, ceiling in zip(runs, ceilings, strict=True):
        # Two runs may reach for the same symbols: a repeat is the first's, a part the next's.
        last, floor = (loops[-1].starts[-1], loops[-1].end) if loops else (-1, 0)
        starts = tuple(start for start in run.starts if start > last)
        if len(starts) < MIN_REPEATS:
            continue
        loop = _settled(symbols, starts, run.end, level.symbols, floor, ceiling)
        loop = _with_first_ones(symbols, loop, floor)
        if loops and loops[-1].end > loop.starts[0]:
            loops[-1] = RepeatLoop(loops[-1].starts, loop.starts[0])
        loops += _by_beginnings(symbols, loop)
    return loops


def pattern_of(symbols: Ints, loop: RepeatLoop) -> Ints:
    """The repeat in the middle: the first and the last may differ."""
    middle = loop.repeats // 2
    return symbols[loop.starts[middle] : loop.bounds()[middle + 1]]


def _with_first_ones(symbols: Ints, loop: RepeatLoop, floor: int) -> RepeatLoop:
    """The loop with repeats before it, each of which one activity parts from the next.

    Cells stacked in a timestep make a state each before they are called for the first time.
    """
    pattern, starts = pattern_of(symbols, loop), list(loop.starts)
    for _ in range(MIN_REPEATS - 1):
        row = starts[0] - 1 - len(pattern)
        if row < floor or (symbols[row : row + len(pattern)] != pattern).any():
            break
        starts.insert(0, row)
    return RepeatLoop(tuple(starts), loop.end)


def _by_beginnings(symbols: Ints, loop: RepeatLoop) -> list[RepeatLoop]:
    """The loops of which each begins behind what the first one begins behind.

    What lies between two passes over a model may be short beside a timestep, and then looks like
    one that is noisy: 15 and 15 timesteps like 30.
    """
    bounds = loop.bounds()
    lengths = np.diff(bounds)
    usual = int(np.median(lengths))
    longer = lengths >= usual + _BEGINNING
    longer[[0, -1]] = False
    before = symbols[max(loop.starts[0] - usual, 0) : loop.starts[0]]
    if longer.sum() > FOLLOWING or len(before) < _BEGINNING:
        return [loop]
    others = distinct(symbols[loop.starts[0] : loop.end][~np.repeat(longer, lengths)])
    loops: list[RepeatLoop] = []
    starts: list[int] = []
    for repeat, begin in enumerate(loop.starts):
        end = int(bounds[repeat + 1])
        between = _recurring(symbols, before, begin, end, others) if longer[repeat] else None
        if between is None:
            starts.append(begin)
            continue
        low, high = between
        starts += [begin] if 2 * (low - begin) >= usual else []
        loops.append(RepeatLoop(tuple(starts), low))
        starts = [high] if 2 * (end - high) >= usual else []
    loops.append(RepeatLoop(tuple(starts), loop.end))
    return loops if min(each.repeats for each in loops) >= MIN_REPEATS else [loop]


def _recurring(
    symbols: Ints, before: Ints, begin: int, end: int, others: Ints
) -> tuple[int, int] | None:
    """Where in a repeat the most of the end of ``before`` recurs, which no other repeat holds."""
    last = before[-_BEGINNING:]
    windows = np.lib.stride_tricks.sliding_window_view(symbols[begin:end], _BEGINNING)
    best = (0, 0)
    for at in (np.flatnonzero((windows == last).all(axis=1)) + begin + _BEGINNING).tolist():
        behind = symbols[max(begin, at - len(before)) : at]
        alike = alike_length(behind[::-1], before[::-1])
        if not among(symbols[at - alike : at], others).all():
            best = max(best, (alike, at))
    return (best[1] - best[0], best[1]) if best[0] else None


def without_anothers(symbols: Ints, loop: RepeatLoop) -> RepeatLoop:
    """The loop less first and last repeats that are those of a loop beside it.

    As noisy repeats they are as long; but the other loop goes on in them exactly as it repeats.
    """
    for _ in range(MIN_REPEATS - 1):
        if loop.repeats == MIN_REPEATS or not _goes_on(symbols, loop.bounds()):
            break
        loop = RepeatLoop(loop.starts[1:], loop.end)
    for _ in range(MIN_REPEATS - 1):
        backwards = len(symbols) - loop.bounds()[::-1]
        if loop.repeats == MIN_REPEATS or not _goes_on(symbols[::-1], backwards):
            break
        loop = RepeatLoop(loop.starts[:-1], loop.starts[-1])
    return loop


def _goes_on(symbols: Ints, bounds: Ints) -> bool:
    """Whether what repeats before ``bounds`` goes on in the first repeat, not in the second."""
    begin, second, third = bounds[:3].tolist()
    usual = third - second
    for period in range(2, min(2 * usual, _LONGEST_BESIDE) + 1):
        low = max(begin - _BEFORE * period, 0)
        if begin - low < _BEFORE * period:
            continue
        before, inside = symbols[low:begin], symbols[begin:second]
        if (before[period:] != before[:-period]).any():
            continue
        # From here on it is a repeat of the other loop, of which this is the part behind `begin`;
        # what makes its state or takes its input lies at the far end of its first one.
        alike = alike_length(inside[:period], before[-period:])
        is_most = alike >= MIN_LIKENESS * period and len(inside) >= period
        own = symbols[second:third]
        is_own = period == usual and alike_length(own, before[-period:]) == period
        if is_most and not is_own and not _holds_twice(own, period):
            return True
    return False


def _holds_twice(symbols: Ints, period: int) -> bool:
    return len(symbols) >= 2 * period and bool(
        (symbols[period : 2 * period] == symbols[:period]).all()
    )


def turns(symbols: Ints, loop: RepeatLoop) -> Iterator[RepeatLoop]:
    """The same loop begun earlier or later, where what lies beside it goes on as it repeats.

    By what repeats alone these are as good: where a timestep begins only its parameters can tell.
    """
    pattern = pattern_of(symbols, loop)
    begin, reach = loop.starts[0], len(pattern) - 1
    before = alike_length(symbols[max(begin - reach, 0) : begin][::-1], pattern[::-1])
    after = alike_length(symbols[loop.end : loop.end + reach], pattern)
    shifts = sorted((shift for shift in range(-before, after + 1) if shift), key=abs)
    for shift in shifts[:_TURNS]:
        yield RepeatLoop(tuple(at + shift for at in loop.starts), loop.end + shift)


def _settled(
    symbols: Ints, starts: tuple[int, ...], end: int, size: int, floor: int, ceiling: int
) -> RepeatLoop:
    """Correct the number of repeats where most symbols of the pattern occur in another number.

    The first and the last timestep differ from the rest (no state yet, no gradient yet), and what
    precedes or follows a loop may look like one more.
    """
    loop = RepeatLoop(starts, end)
    pattern = pattern_of(symbols, loop)
    margin = int(_MARGIN * size)
    low, high = max(floor, loop.starts[0] - margin), min(ceiling, loop.end + margin)
    more = (occurs(symbols[low:high], pattern) or loop.repeats) - loop.repeats
    if more == -1:
        return _without_an_end(symbols, loop, pattern)
    if more == 1:
        return _with_an_end(symbols[low:high], low, loop, pattern)
    return loop


def _without_an_end(symbols: Ints, loop: RepeatLoop, pattern: Ints) -> RepeatLoop:
    if loop.repeats <= MIN_REPEATS:
        return loop
    first = likeness(symbols[loop.starts[0] : loop.starts[1]], pattern)
    last = likeness(symbols[loop.starts[-1] : loop.end], pattern)
    if first < last:
        return RepeatLoop(loop.starts[1:], loop.end)
    return RepeatLoop(loop.starts[:-1], loop.starts[-1])


def _with_an_end(region: Ints, low: int, loop: RepeatLoop, pattern: Ints) -> RepeatLoop:
    """One more repeat at the end that is more like one, if it is.

    A loop whose repeats begin within timesteps has a part of one at either end: both make one.
    """
    size, begin, end = len(pattern), loop.starts[0] - low, loop.end - low
    before, after = region[max(begin - size, 0) : begin], region[end : end + size]
    first, last = likeness(before, pattern), likeness(after, pattern)
    if first + last <= _LEAST_LIKENESS:
        return loop
    if first > last:
        return RepeatLoop((loop.starts[0] - len(before), *loop.starts), loop.end)
    return RepeatLoop((*loop.starts, loop.end), loop.end + len(after))


def with_usual_times(one: Pass, loop: RepeatLoop) -> Pass:
    """The pass, whose loop's activities last as long as the same ones of its repeats usually do.

    The n-th activity of a name in a repeat is the same as the n-th in another. One repeat's times
    may be those of a cold cache, or of another program that had the processor.
    """
    rows = slice(loop.starts[0], loop.end)
    name, duration = one.activities.name[rows], one.duration_ns[rows]
    repeat = np.repeat(np.arange(loop.repeats), np.diff(loop.bounds()))
    order = np.lexsort((name, repeat))
    begins, sizes = _groups(name[order], repeat[order])
    place = np.empty_like(name)
    place[order] = np.arange(len(order)) - np.repeat(begins, sizes)
    order = np.lexsort((duration, place, name))
    begins, sizes = _groups(name[order], place[order])
    usual = np.empty_like(duration)
    usual[order] = np.repeat(duration[order][begins + (sizes - 1) // 2], sizes)
    end_ns = one.activities.end_ns.copy()
    end_ns[rows] = one.activities.start_ns[rows] + usual
    return structs.replace(one, activities=structs.replace(one.activities, end_ns=end_ns))


def _groups(*columns: Ints) -> tuple[Ints, Ints]:
    """First row and size of each stretch of rows that agree in all columns."""
    changes = np.any([np.diff(column) != 0 for column in columns], axis=0)
    begins = np.append(0, np.flatnonzero(changes) + 1)
    return begins, np.diff(np.append(begins, len(columns[0])))


def shares(one: Pass, loop: RepeatLoop, chosen: Bools) -> Floats:
    """Share of each repeat's time that the ``chosen`` activities of the pass take, [repeats]."""
    rows = slice(loop.starts[0], loop.end)
    at = loop.bounds()[:-1] - loop.starts[0]
    duration = one.duration_ns[rows]
    whole = np.maximum(np.add.reduceat(duration, at), 1)
    return np.add.reduceat(np.where(chosen[rows], duration, 0), at) / whole
