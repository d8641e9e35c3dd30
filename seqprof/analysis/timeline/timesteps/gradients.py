"""Timesteps or layers by gradients: where that of a parameter is finished, and what it fills.

The gradient of a parameter that the repeats share is finished in the first repeat that uses it (the
last that the backward reaches), that of a layer's own in its repeat.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.structure import Bools, Floats, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop, shares, with_usual_times
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS
from seqprof.analysis.timeline.timesteps.verdict import FILLS, MOST, STACKED, RecurrenceVerdict

#: Share of a repeat's time in parameters that speaks: their gradients are seen, but not all of what
#: is computed with them.
_FILLS_GRADIENTS = 0.15
#: Share of what is computed with parameters that is all of it.
_ALL = 0.9
#: Autocast casts a parameter once and hands on what it made; the cast finishes its gradient.
_CAST = r"ToCopyBackward0$"
#: Nodes of products by parameters.
_PRODUCT = r"(?:mm|onvolution|T)Backward\d$"
#: Operators that multiply by parameters, though autograd may have none of them to follow.
_PARAMETRIC = r"^aten::(?:linear|addmm|mm|conv\w*|_convolution|embedding|\w+_cell|\w*layer_norm)$"


def by_gradients(
    timeline: Timeline, one: Pass, loop: RepeatLoop, nodes: Nodes
) -> RecurrenceVerdict | None:
    one = with_usual_times(one, loop)
    edges = loop.edges_ns(one)
    mine = nodes.where((nodes.forward_ns >= edges[0]) & (nodes.forward_ns < edges[-1]))
    if not mine.finishes.any():
        return None
    own = _shares_of(one, loop, mine.forward_ns[mine.finishes])
    if (own >= _FILLS_GRADIENTS).mean() >= MOST:
        return RecurrenceVerdict("shared parameters")
    repeat = np.searchsorted(edges, mine.forward_ns, side="right") - 1
    shared = mine.finishes & (
        _contributed_behind(mine, repeat, loop.repeats) | timeline.named(mine.name, _CAST)
    )
    shared &= ~_finished_in_most(mine, repeat, loop.repeats)
    goes_on = _goes_on(timeline, mine.where(repeat == loop.repeats - 1), nodes, one, edges[-1])
    first = _first_uses(timeline, one, loop, mine, repeat, shared, goes_on)
    if not len(first):
        return None
    # What precedes a loop may look like a repeat of it.
    loop = RepeatLoop(loop.starts[first[0] :], loop.end)
    loops = _by_first_use(loop, first - first[0])
    if not loops:
        return None
    return RecurrenceVerdict("shared parameters", loops, len(distinct(repeat[shared])))


def _goes_on(timeline: Timeline, last: Nodes, nodes: Nodes, one: Pass, end_ns: int) -> bool:
    """Whether parameters that the repeat ``last`` uses first may be used again behind ``end_ns``.

    Then nodes of such a kind contribute to a gradient there and finish none. A cast parameter is
    used by products.
    """
    casts = timeline.named(last.name, _CAST)
    uses = (last.finishes & ~casts) | timeline.named(last.name, _PRODUCT)
    inside = (nodes.forward_ns >= end_ns) & (nodes.forward_ns < one.end_ns) & ~nodes.finishes
    return bool(among(nodes.name[inside], distinct(last.name[uses])).any())


def _first_uses(
    timeline: Timeline,
    one: Pass,
    loop: RepeatLoop,
    nodes: Nodes,
    repeat: Ints,
    shared: Bools,
    goes_on: bool,
) -> Ints:
    """The repeats in which a set of ``shared`` parameters that fills a repeat is used first.

    ``goes_on``: parameters that the last repeat uses first may be used again behind the loop.

    A parameter that the first timestep does not use yet (no state) begins no loop and no other
    cell; one beside others that are frozen (a shared activation's slope) does not fill a repeat.
    """
    counts = _KindsPerRepeat.of(timeline, nodes, repeat, shared, loop.repeats)
    first = _shares_of(one, loop, nodes.forward_ns[shared])
    every = _shares_of(one, loop, nodes.forward_ns[counts.alike(repeat)])
    works = _marked(one, nodes.forward_ns[among(nodes.name, distinct(nodes.name[shared]))])
    works[:-1] |= timeline.named(one.work_name, _PARAMETRIC)
    parametric = shares(one, loop, works[one.work_of(one.activities.launch_ns)])
    mostly = _mostly_first(first, every, counts, goes_on)
    # Where all products are with them it does not matter how little of the time these take.
    alone = timeline.named(nodes.name[shared], _PRODUCT).any() & (every >= _ALL * parametric)
    fills = mostly & ((first >= _FILLS_GRADIENTS) | (alone & (first > 0)))
    begins = fills & counts.begin_their_own() & (every >= FILLS * parametric)
    # One set in two repeats, a part of it in each: the repeats begin within timesteps.
    begins[:-1] &= counts.in_common | ~begins[1:]
    begins[:-1] &= ~(counts.apart & begins[1:])
    # Behind timesteps that no gradient reaches another set begins, or a state was detached.
    reached = np.append(0, np.cumsum(counts.count.any(axis=0)))[:-1]
    begins[MIN_REPEATS:] &= reached[MIN_REPEATS:] > reached[:-MIN_REPEATS]
    return np.flatnonzero(begins)


def _mostly_first(first: Floats, every: Floats, counts: _KindsPerRepeat, goes_on: bool) -> Bools:
    """Where most of what is computed with such parameters is with those that are used first.

    What looks like a last repeat may be several of the next loop, if that goes on. Where repeats
    begin within timesteps two may have a part of the set each.
    """
    mostly: Bools = first >= MOST * every
    mostly[-1] = mostly[-1] or goes_on
    neither: Bools = ~mostly[:-1] & ~mostly[1:] & (first[:-1] > 0) & (first[1:] > 0)
    both: Bools = first[:-1] + first[1:] >= MOST * np.maximum(every[:-1], every[1:])
    mostly[:-1] |= counts.in_common & neither & both
    return mostly


class _KindsPerRepeat(Struct, frozen=True):
    """Nodes by the kind that their name is and by repeat: all, and those that finish ``shared``.

    ``kind`` is that of each node; ``count`` and ``begun`` are [kinds, repeats]; ``casts`` and
    ``products`` say which kinds are such.
    """

    kind: Ints
    count: Ints
    begun: Ints
    casts: Bools
    products: Bools

    @classmethod
    def of(
        cls, timeline: Timeline, nodes: Nodes, repeat: Ints, shared: Bools, repeats: int
    ) -> _KindsPerRepeat:
        names = distinct(nodes.name)
        kind = np.searchsorted(names, nodes.name)
        shape = int(kind.max()) + 1, repeats
        at = kind * repeats + repeat
        count, begun = (
            np.bincount(chosen, minlength=shape[0] * repeats).reshape(shape)
            for chosen in (at, at[shared])
        )
        casts, products = timeline.named(names, _CAST), timeline.named(names, _PRODUCT)
        return cls(kind, count, begun, casts, products)

    def alike(self, repeat: Ints) -> Bools:
        """Which nodes are of a kind that finishes ``shared`` in their repeat, or use such casts."""
        uses = self.products[self.kind] & (self.begun[self.casts].sum(axis=0) > 0)[repeat]
        alike: Bools = uses | (self.begun[self.kind, repeat] > 0)
        return alike

    def begin_their_own(self) -> Bools:
        """Which repeats finish gradients that are not of more nodes than the next ones have.

        What prepares all timesteps of the next layer at once lies behind the last timestep of the
        one before.
        """
        more = np.maximum(self.count - _usual_behind(self.count), 0)
        more[self.casts] *= more[self.products].any(axis=0)
        own: Bools = np.where(self.begun > 0, self.begun - more, 0).sum(axis=0) > 0
        return own

    @property
    def in_common(self) -> Bools:
        """Which repeats finish gradients of a kind that the next one does too, [repeats - 1]."""
        both: Bools = np.any((self.begun[:, :-1] > 0) & (self.begun[:, 1:] > 0), axis=0)
        return both

    @property
    def apart(self) -> Bools:
        """Which repeats only look like one: the next has nothing of theirs, [repeats - 1].

        It finishes all that it contributes to, and holds more, or other things than they do. Cells
        stacked in a timestep are of one size.
        """
        here, count = self.begun[:, :-1] > 0, self.count
        alone: Bools = np.all(~here | (self.begun[:, 1:] == count[:, 1:]), axis=0)
        less: Bools = np.any(here & (count[:, :-1] < count[:, 1:]), axis=0)
        has = count > 0
        usual = has.mean(axis=1, keepdims=True) >= MOST
        lacks: Bools = np.any(usual & ~has[:, :-1] & has[:, 1:], axis=0)
        foreign: Bools = np.any(has[:, :-1] & (has.sum(axis=1, keepdims=True) == 1), axis=0)
        return alone & (less | (lacks & foreign))


def _usual_behind(count: Ints) -> Ints:
    """Of each row and column the median of the next columns; at the end, that of all."""
    usual = np.median(count, axis=1).astype(np.int64)[:, None]
    padded = np.hstack((count[:, 1:], np.repeat(usual, MIN_REPEATS, axis=1)))
    behind = np.lib.stride_tricks.sliding_window_view(padded, MIN_REPEATS, axis=1)
    medians: Ints = np.median(behind, axis=2).astype(np.int64)
    return medians


def _shares_of(one: Pass, loop: RepeatLoop, forward_ns: Ints) -> Floats:
    """Share of each repeat in the operators that run at these times."""
    marked = _marked(one, forward_ns)
    # An operator around several repeats, as a recurrent layer is, does not fill one of them.
    edges = one.activities.launch_ns[loop.bounds()[:-1]]
    begun = np.searchsorted(edges, one.work_end_ns) - np.searchsorted(edges, one.work_start_ns)
    marked[:-1] &= begun <= 1
    return shares(one, loop, marked[one.work_of(one.activities.launch_ns)])


def _marked(one: Pass, times: Ints) -> Bools:
    """Which operators of the pass run at ``times``; the last row stands for none."""
    marked = np.zeros(len(one.work_start_ns) + 1, dtype=np.bool_)
    marked[one.work_of(times)] = True
    marked[-1] = False
    return marked


def _contributed_behind(nodes: Nodes, repeat: Ints, repeats: int) -> Bools:
    """Which nodes finish a gradient to which most repeats behind contributed.

    There are as many nodes of the name in these as finish one here; up to the repeat in which
    another set of parameters is used first.
    """
    size = int(nodes.name.max()) + 1
    at = nodes.name * repeats + repeat
    present = np.bincount(at, minlength=size * repeats).reshape(size, repeats)
    finishing = np.bincount(at[nodes.finishes], minlength=size * repeats).reshape(size, repeats)
    sets = distinct(repeat[nodes.finishes])
    sets = sets[np.append(True, np.diff(sets) > STACKED)[: len(sets)]]
    behind = np.zeros((size, repeats), dtype=np.bool_)
    for begin, stop in zip(sets, [*sets[1:], repeats], strict=True):
        needed = finishing[:, begin:stop].max(axis=1)
        enough = (present[:, begin:stop] >= needed[:, None]).mean(axis=1) >= MOST
        behind[enough, begin:stop] = True
    chosen: Bools = behind[nodes.name, repeat]
    return chosen


def _finished_in_most(nodes: Nodes, repeat: Ints, repeats: int) -> Bools:
    """Which nodes finish gradients in most repeats: each has parameters of its own of that kind."""
    size = int(nodes.name.max()) + 1
    at = (nodes.name * repeats + repeat)[nodes.finishes]
    finished = np.bincount(at, minlength=size * repeats).reshape(size, repeats) > 0
    own: Bools = (finished.mean(axis=1) >= MOST)[nodes.name]
    return own


def _by_first_use(loop: RepeatLoop, first: Ints) -> tuple[RepeatLoop, ...]:
    """Loops told apart by where each set of parameters is used first.

    Sets that begin one after another are cells stacked in a timestep.
    """
    begins = first[np.append(True, np.diff(first) > 1)]
    cells = int(np.searchsorted(first, begins[1])) if len(begins) > 1 else len(first)
    if cells > min(STACKED, loop.repeats // 2):
        return ()
    return loop.split(begins.tolist(), cells)
