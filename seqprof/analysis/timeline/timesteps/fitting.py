"""A loop as what its repeats hold shows it: where they begin, and what of it is another loop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.structure import Bools, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.evidence import inside_a_layer, judge
from seqprof.analysis.timeline.timesteps.known_length import ends_settled
from seqprof.analysis.timeline.timesteps.loops import FOLLOWING, RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS
from seqprof.analysis.timeline.timesteps.stream import VIEW
from seqprof.analysis.timeline.timesteps.verdict import BY_NAMES, STACKED, RecurrenceVerdict

#: What joins the outputs of a layer, begins a state or projects all inputs of the next layer.
_PREPARES = r"(?i)cat|stack|zero|fill|flip|linear|addmm|gemm|matmul"
#: What makes a state of zeros.
_MAKES = r"^aten::(?:new_)?zeros(?:_like)?$"
#: Share of the repeats that must be as their place says.
_REGULAR = 0.9
#: By how many operators timesteps of two loops that look like one may differ, and the share of
#: what is left of it that the shorter must be.
_LONGER, _EXACT = 6, 0.75
#: Names by repeats that are counted at most.
_MOST_COUNTED = 4_000_000


def fitted(
    timeline: Timeline, one: Pass, nodes: Nodes, loop: RepeatLoop, others: Iterable[RepeatLoop]
) -> RecurrenceVerdict | None:
    """What a loop is, begun where its edges fit best what the repeats hold.

    Args:
        others: the same loop begun elsewhere.
    """
    best = _best_begun(timeline, one, nodes, loop, others)
    return ends_settled(timeline, one, best) if best is not None else None


def _best_begun(
    timeline: Timeline, one: Pass, nodes: Nodes, loop: RepeatLoop, others: Iterable[RepeatLoop]
) -> RecurrenceVerdict | None:
    if timeline.named(one.activities.name[loop.starts[0] : loop.end], VIEW).all():
        return None  # inputs that are cut before the loop that takes them
    best = judge(timeline, one, loop, nodes)
    if best is not None and not best.loops:
        return best
    if best is not None and best.evidence in BY_NAMES:
        loops = _of_equal_cells(timeline, one, best.loops[0])
        return RecurrenceVerdict(best.evidence, loops)
    if best is None and not nodes.finish_in(*loop.edges_ns(one)[[0, -1]].tolist()):
        return None
    if best is not None and best.fits:
        return best
    turned = (judge(timeline, one, other, nodes) for other in others)
    verdicts = [best, *turned]
    fitting = [each for each in verdicts if each and each.loops and each.evidence not in BY_NAMES]
    alike = [each for each in fitting if each.evidence == fitting[0].evidence]
    return min(
        alike,
        key=lambda each: (each.unevenness, _before_its_beginning(one, each.loops[0])),
        default=None,
    )


def _before_its_beginning(one: Pass, loop: RepeatLoop) -> int:
    """How much of the first repeat lies before what no other repeat holds.

    That makes a state or cuts inputs, and precedes the first timestep.
    """
    names, second = one.activities.name, loop.starts[1]
    foreign = ~among(names[loop.starts[0] : second], distinct(names[second : loop.end]))
    return int(foreign.argmax())


# Cells that names alone tell --------------------------------------------------------------------


def _of_equal_cells(timeline: Timeline, one: Pass, loop: RepeatLoop) -> tuple[RepeatLoop, ...]:
    """The loops in a loop over equal cells, which nothing but what lies between them tells apart.

    Cells stacked in a timestep take turns: each of a timestep has something that the others have
    not (but for the views of a recurrent layer, whose batch shrinks). Another layer or direction is
    prepared, and a decoder's timesteps hold other operators.
    """
    works = ~timeline.named(one.activities.name, VIEW)
    parts = [
        part
        for indexed in _split_where_indices_begin(timeline, one, loop)
        for prepared in _split_where_prepared(timeline, one, indexed)
        for lasting in _split_by_period(one, prepared, works)
        for part in _split_where_changed(one, lasting, works)
    ]
    if inside_a_layer(one, loop):
        return tuple(parts)
    return tuple(
        part.every(max(_taking_turns(one, part), _with_states(timeline, one, part)))
        for part in parts
    )


def _with_states(timeline: Timeline, one: Pass, loop: RepeatLoop) -> int:
    """How many cells a timestep has, by the states that its first ones make.

    Of cells called without a state each makes one in the first timestep, none later: between the
    first n repeats of a loop n - 1 are made. Where the repeats are alike but for that.
    """
    names, bounds = one.activities.name, loop.bounds()
    works = ~timeline.named(names, f"{VIEW}|{_MAKES}")
    held = _held(one, loop, works)
    if held is None or (held[:-1] != held[0]).any():
        return 1
    rows = np.flatnonzero(timeline.named(names[: bounds[-2]], _MAKES))
    rows = rows[rows >= bounds[0]]
    repeat = np.searchsorted(bounds, rows, side="right") - 1
    done = np.append(0, np.cumsum(works))
    before, behind = done[rows] - done[bounds[repeat]], done[bounds[repeat + 1]] - done[rows]
    if ((before > 0) & (behind > 0)).any():
        return 1  # one that is made within a repeat is that of another cell in it
    made = distinct(repeat + (before > 0))
    made = made[made > 0]
    count = len(made) + 1
    is_first = (made == np.arange(1, count)).all()
    return count if is_first and count * MIN_REPEATS <= loop.repeats else 1


def _split_where_prepared(
    timeline: Timeline, one: Pass, loop: RepeatLoop
) -> tuple[RepeatLoop, ...]:
    """Cut a loop where another layer or direction is prepared."""
    names, bounds = one.activities.name, loop.bounds()
    works = ~timeline.named(names, VIEW)
    prepares = timeline.named(names, _PREPARES)
    many = [np.add.reduceat(each[: loop.end], bounds[:-1]) for each in (works, prepares)]
    breaks = np.all([count > np.median(count) for count in many], axis=0)
    begins = np.flatnonzero(breaks[:-1]) + 1
    parts = np.diff([0, *begins.tolist(), loop.repeats])
    if len(parts) <= FOLLOWING and parts.min() == parts.max():
        return loop.split(begins.tolist())
    # A decoder has a length of its own: nothing else in the loop is like what is before it.
    repeat = np.arange(loop.repeats)
    inner = (repeat >= MIN_REPEATS - 1) & (repeat <= loop.repeats - MIN_REPEATS)
    alone = breaks & inner & np.all([count > count[~breaks].max() for count in many], axis=0)
    if alone.sum() != 1:
        return (loop,)
    row = int(alone.argmax())
    rows = np.arange(bounds[row], bounds[row + 1])
    extra = rows[prepares[rows] & ~among(names[rows], distinct(names[bounds[1] : bounds[row]]))]
    if not len(extra):
        return (loop,)
    return loop.split([_next_begin(row, float(extra.mean()), bounds)])


def _split_where_indices_begin(
    timeline: Timeline, one: Pass, loop: RepeatLoop
) -> tuple[RepeatLoop, ...]:
    """Cut a loop where the slices that its repeats take are not the next ones any more."""
    host, edges = timeline.host, loop.edges_ns(one)
    begin, end = np.searchsorted(host.start_ns, edges[[0, -1]])
    rows = np.flatnonzero(host.index[begin:end] >= 0) + begin
    repeat = np.searchsorted(edges, host.start_ns[rows], side="right") - 1
    first = np.append(True, np.diff(repeat) != 0)[: len(repeat)]
    rows, repeat = rows[first], repeat[first]
    if len(rows) < _REGULAR * loop.repeats:
        return (loop,)
    step = np.diff(host.index[rows])
    begins = np.flatnonzero(np.abs(step) != 1) + 1
    begins = np.append(begins, np.flatnonzero(step[1:] * step[:-1] == -1) + 1)
    parts = np.diff([0, *np.sort(begins).tolist(), len(rows)])
    if not 1 < len(parts) <= FOLLOWING or parts.min() < MIN_REPEATS:
        return (loop,)
    middle = (edges[:-1] + edges[1:]) // 2
    # The slice of a timestep may be taken at the end of the repeat before it.
    late = int((host.start_ns[rows] > middle[repeat]).mean() > _REGULAR)
    return loop.split((repeat[np.sort(begins)] + late).tolist())


def _next_begin(row: int, at: float, bounds: Ints) -> int:
    """The repeat with which a loop begins that is prepared at ``at`` in the repeat ``row``."""
    return row + int(at > (bounds[row] + bounds[row + 1]) / 2)


def _split_by_period(one: Pass, loop: RepeatLoop, works: Bools) -> tuple[RepeatLoop, ...]:
    """Cut a loop into two that repeat exactly, each at a distance of its own.

    A decoder's timestep may hold one operator more than the encoder's, which is no more than noise.
    """
    rows = np.flatnonzero(works[loop.starts[0] : loop.end]) + loop.starts[0]
    name = one.activities.name[rows]
    usual = max(round(len(rows) / loop.repeats), 1)
    periods = range(max(usual - _LONGER, 1), usual + _LONGER + 1)
    if len(rows) * len(periods) > _MOST_COUNTED:
        return (loop,)
    longest = {period: _longest_exact(name, period) for period in periods}
    one_period = max(periods, key=lambda period: longest[period][1] - longest[period][0])
    begin, end = longest[one_period]
    is_first = begin < len(rows) - end
    rest = (end, len(rows)) if is_first else (0, begin)
    part = name[slice(*rest)]
    others = {period: _longest_exact(part, period) for period in periods if period != one_period}
    period, (low, high) = max(others.items(), key=lambda each: each[1][1] - each[1][0])
    if high - low < max(MIN_REPEATS * period, _EXACT * len(part)):
        return (loop,)
    at = end if is_first else rest[0] + high
    parts = (
        (0, at, one_period if is_first else period),
        (at, len(rows), period if is_first else one_period),
    )
    bounds = np.append(rows, loop.end)
    return tuple(
        RepeatLoop(
            tuple(bounds[np.linspace(start, stop, repeats + 1).astype(np.int64)[:-1]].tolist()),
            int(bounds[stop]),
        )
        for start, stop, every in parts
        if (repeats := round((stop - start) / every)) >= MIN_REPEATS
    )


def _longest_exact(symbols: Ints, period: int) -> tuple[int, int]:
    """The longest stretch of ``symbols`` that repeats exactly after ``period``: from, to."""
    if len(symbols) <= period:
        return 0, 0
    differs = np.flatnonzero(symbols[period:] != symbols[:-period])
    ends = np.append(differs, len(symbols) - period)
    begins = np.append(0, differs + 1)
    row = int((ends - begins).argmax())
    return int(begins[row]), int(ends[row]) + period


def _split_where_changed(one: Pass, loop: RepeatLoop, works: Bools) -> tuple[RepeatLoop, ...]:
    """Cut a loop where all repeats from one on hold other operators than all before it."""
    held = _held(one, loop, works)
    if held is None:
        return (loop,)
    for begin in (np.flatnonzero(np.diff(held)) + 1).tolist():
        before, behind = held[:begin], held[begin:]
        if min(len(before), len(behind)) < MIN_REPEATS:
            continue
        first, second = int(np.bincount(before).argmax()), int(np.bincount(behind).argmax())
        regular = (before == first).sum() + (behind == second).sum()
        mixed = (before == second).any() or (behind == first).any()
        # The first and the last repeat of either may differ.
        if first != second and not mixed and regular >= max(_REGULAR * len(held), len(held) - 4):
            return loop.split([begin])
    return (loop,)


def _taking_turns(one: Pass, loop: RepeatLoop) -> int:
    """How many repeats are a timestep: what they hold recurs in every so manieth, not in each."""
    held = _held(one, loop, np.ones(len(one.activities), dtype=np.bool_))
    if held is None:
        return 1
    at_once = (held[1:] == held[:-1]).mean()
    for cells in range(2, min(STACKED, loop.repeats // MIN_REPEATS) + 1):
        # The first timestep may differ, in which each makes a state, and the last repeat.
        differing = int((held[2 * cells :] != held[cells:-cells]).sum())
        regular = differing <= max((1 - _REGULAR) * loop.repeats, 1)
        if regular and at_once <= (cells - 2) / cells + 1 - _REGULAR:
            return cells
    return 1


def _held(one: Pass, loop: RepeatLoop, chosen: Bools) -> Ints | None:
    """What each repeat holds of the ``chosen`` activities, by names and how many, as a number.

    None where these are too many to count.
    """
    rows = np.flatnonzero(chosen[loop.starts[0] : loop.end]) + loop.starts[0]
    if not len(rows):
        return None
    name = np.unique(one.activities.name[rows], return_inverse=True)[1]
    size = int(name.max()) + 1
    if size * loop.repeats > _MOST_COUNTED:
        return None
    repeat = np.searchsorted(loop.bounds(), rows, side="right") - 1
    counts = np.bincount(repeat * size + name, minlength=size * loop.repeats)
    held: Ints = np.unique(counts.reshape(loop.repeats, size), axis=0, return_inverse=True)[1]
    return held.ravel()
