"""Whether the repeats of a loop are timesteps or layers, by what fills them.

A stack of equal layers repeats just as a loop over timesteps does. What counts is the part of a
trace that carries the repeat's time: a rotary embedding shared by all layers, or a frozen
parameter, says nothing. In order of strength:

- modules (``with_stack=True``): the same ones are called again, or others;
- gradients: those of a shared parameter are finished in the first repeat (the last that the
  backward reaches), those of a layer's own in its repeat;
- recurrent cells by their operators' names, or by the gates of an LSTM or a GRU;
- a token that each repeat draws and the next looks up;
- slices of the input in the order of the repeats (``record_shapes=True``).

Without any of these nothing is claimed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import among, distinct
from seqprof.analysis.timeline.structure import OPERATOR, Bools, Floats, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop, shares, with_usual_times
from seqprof.analysis.timeline.timesteps.modules import calls_per_repeat
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS

Evidence = Literal[
    "same module",
    "shared parameters",
    "recurrent cell",
    "gates of a cell",
    "sampling loop",
    "indexed inputs",
    "recurrent operator",
    "pattern only",
]

#: What each kind of evidence says, as a sentence's part.
MEANING: dict[Evidence, str] = {
    "same module": "the modules that fill the repeats are called again in each",
    "shared parameters": "gradients show that the repeats share the parameters that fill them",
    "recurrent cell": "a recurrent cell's operator is called in each repeat",
    "gates of a cell": "each repeat has the gates of an LSTM or a GRU",
    "sampling loop": "each repeat draws a token and looks one up",
    "indexed inputs": "each repeat takes the next slice of an input",
    "recurrent operator": "the repeats lie in one call of a recurrent layer",
    # Stored results of schema 1 have it; nothing is reported by it any more.
    "pattern only": "told by the pattern alone; equal layers would look the same",
}

#: What says that there are timesteps, but not whether they are those of one cell.
BY_NAMES = frozenset({"recurrent cell", "gates of a cell", "recurrent operator", "indexed inputs"})

#: Share of a repeat's time that must speak for a verdict.
_FILLS = 0.5
#: The same for parameters: their gradients are seen, but not all of what is computed with them.
_FILLS_GRADIENTS = 0.15
#: Share of the repeats that must agree.
_MOST = 0.75
#: Cells of equal shape called one after another in a timestep, at most.
_STACKED = 8

_CELL_OPERATOR = r"(?:lstm|gru|rnn_tanh|rnn_relu)_cell(?!.*[Bb]ackward)"
#: Kernels that compute a recurrent cell, or its gradient.
CELL_KERNEL = r"(?i)(?:lstm|gru)_cell|elemwise_?rnn|(?:lstm|gru|rnn)_?elem(?:ent)?_?wise"
_SIGMOID, _TANH = r"^(?:aten::)?sigmoid_?$|sigmoid_kernel", r"^(?:aten::)?tanh_?$|tanh_kernel"
#: Operators that multiply by parameters, though autograd may have none of them to follow.
_PARAMETRIC = r"^aten::(?:linear|addmm|mm|conv\w*|_convolution|embedding|\w+_cell|\w*layer_norm)$"
_SOFTMAX = r"(?i)softmax|attention|flash"
_DRAWN = r"^aten::(?:multinomial|argmax|topk|exponential_)$"
_LOOKED_UP = r"^aten::embedding$"
_TAKEN = r"^aten::select$"


class RecurrenceVerdict(Struct, frozen=True):
    """Timesteps, as ``loops``, or layers (no loops).

    ``begun`` counts the repeats in which a parameter that others use too is used first.
    """

    evidence: Evidence
    loops: tuple[RepeatLoop, ...] = ()
    begun: int = 1

    @property
    def unevenness(self) -> tuple[int, int]:
        """How badly the edges of the repeats fit what they hold; 1, 0 if they fit."""
        lengths = [loop.repeats for loop in self.loops]
        return self.begun, max(lengths) - min(lengths)


def judge(
    timeline: Timeline, one: Pass, loop: RepeatLoop, nodes: Nodes
) -> RecurrenceVerdict | None:
    """What the repeats of ``loop`` are; None where the trace cannot tell."""
    for verdict in (
        _by_modules(timeline, one, loop),
        _by_gradients(timeline, one, loop, nodes),
        _by_names(timeline, one, loop),
    ):
        if verdict is not None:
            return verdict
    return None


# Modules ----------------------------------------------------------------------------------------


def _by_modules(timeline: Timeline, one: Pass, loop: RepeatLoop) -> RecurrenceVerdict | None:
    calls = calls_per_repeat(timeline, one, loop)
    if calls is None:
        return None
    again = [calls.shared_with(distance) for distance in range(1, _STACKED + 1)]
    for distance, shared in enumerate(again[: loop.repeats // 2], start=1):
        if (shared >= _FILLS).mean() >= _MOST:
            return RecurrenceVerdict("same module", _split(loop.every(distance), shared, distance))
    return RecurrenceVerdict("same module")


def _split(loop: RepeatLoop, shared: Floats, distance: int) -> tuple[RepeatLoop, ...]:
    """Cut where a repeat has nothing in common with the one before: another loop begins."""
    alien = distinct(np.flatnonzero(shared < _FILLS) // distance + 1)
    return loop.split(alien[alien < loop.repeats].tolist())


# Gradients --------------------------------------------------------------------------------------


def _by_gradients(
    timeline: Timeline, one: Pass, loop: RepeatLoop, nodes: Nodes
) -> RecurrenceVerdict | None:
    one = with_usual_times(one, loop)
    edges = loop.edges_ns(one)
    mine = nodes.where((nodes.forward_ns >= edges[0]) & (nodes.forward_ns < edges[-1]))
    if not mine.finishes.any():
        return None
    own = _shares_of(one, loop, mine.forward_ns[mine.finishes])
    if (own >= _FILLS_GRADIENTS).mean() >= _MOST:
        return RecurrenceVerdict("shared parameters")
    repeat = np.searchsorted(edges, mine.forward_ns, side="right") - 1
    shared = mine.finishes & _contributed_in_all(mine, repeat, loop.repeats)
    shared &= ~_finished_in_most(mine, repeat, loop.repeats)
    first = _first_uses(timeline, one, loop, mine, repeat, shared)
    if not len(first):
        return None
    if first[0] != 0:
        return RecurrenceVerdict("shared parameters")
    loops = _by_first_use(loop, first)
    if not loops:
        return None
    return RecurrenceVerdict("shared parameters", loops, len(distinct(repeat[shared])))


def _first_uses(
    timeline: Timeline, one: Pass, loop: RepeatLoop, nodes: Nodes, repeat: Ints, shared: Bools
) -> Ints:
    """The repeats in which a set of ``shared`` parameters that fills a repeat is used first.

    A parameter that the first timestep does not use yet (no state) begins no loop and no other
    cell; one beside others that are frozen (a shared activation's slope) does not fill a repeat.
    """
    kinds = np.searchsorted(distinct(nodes.name), nodes.name)
    shape = int(kinds.max()) + 1, loop.repeats
    at = kinds * loop.repeats + repeat
    begun = np.bincount(at[shared], minlength=shape[0] * shape[1]).reshape(shape)
    count = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
    first = _shares_of(one, loop, nodes.forward_ns[shared])
    alike = begun[kinds, repeat] > 0
    every = _shares_of(one, loop, nodes.forward_ns[alike])
    works = _marked(one, nodes.forward_ns[among(nodes.name, distinct(nodes.name[shared]))])
    works[:-1] |= timeline.named(one.work_name, _PARAMETRIC)
    parametric = shares(one, loop, works[one.work_of(one.activities.launch_ns)])
    fills = (first >= _FILLS_GRADIENTS) & (first >= _MOST * every)
    # More of a kind than other repeats have do not count: what prepares all timesteps of the next
    # layer at once lies behind the last timestep of the one before.
    more = np.maximum(count - np.median(count, axis=1).astype(np.int64)[:, None], 0)
    own = (np.where(begun > 0, begun - more, 0)).sum(axis=0) > 0
    return np.flatnonzero(fills & own & (every >= _FILLS * parametric))


def _shares_of(one: Pass, loop: RepeatLoop, forward_ns: Ints) -> Floats:
    """Share of each repeat in the operators that run at these times."""
    return shares(one, loop, _marked(one, forward_ns)[one.work_of(one.activities.launch_ns)])


def _marked(one: Pass, times: Ints) -> Bools:
    """Which operators of the pass run at ``times``; the last row stands for none."""
    marked = np.zeros(len(one.work_start_ns) + 1, dtype=np.bool_)
    marked[one.work_of(times)] = True
    marked[-1] = False
    return marked


def _contributed_in_all(nodes: Nodes, repeat: Ints, repeats: int) -> Bools:
    """Of which nodes every repeat has as many of the same name as finish a gradient somewhere."""
    size = int(nodes.name.max()) + 1
    present = np.bincount(nodes.name * repeats + repeat, minlength=size * repeats)
    finishing = np.bincount(
        (nodes.name * repeats + repeat)[nodes.finishes], minlength=size * repeats
    )
    needed = finishing.reshape(size, repeats).max(axis=1)
    enough: Bools = (present.reshape(size, repeats) >= needed[:, None]).mean(axis=1) >= _MOST
    chosen: Bools = enough[nodes.name]
    return chosen


def _finished_in_most(nodes: Nodes, repeat: Ints, repeats: int) -> Bools:
    """Which nodes finish gradients in most repeats: each has parameters of its own of that kind."""
    size = int(nodes.name.max()) + 1
    at = (nodes.name * repeats + repeat)[nodes.finishes]
    finished = np.bincount(at, minlength=size * repeats).reshape(size, repeats) > 0
    own: Bools = (finished.mean(axis=1) >= _MOST)[nodes.name]
    return own


def _by_first_use(loop: RepeatLoop, first: Ints) -> tuple[RepeatLoop, ...]:
    """Loops told apart by where each set of parameters is used first.

    Sets that begin one after another are cells stacked in a timestep.
    """
    begins = first[np.append(True, np.diff(first) > 1)]
    cells = int(np.searchsorted(first, begins[1])) if len(begins) > 1 else len(first)
    if cells > min(_STACKED, loop.repeats // 2):
        return ()
    return loop.split(begins.tolist(), cells)


# Names ------------------------------------------------------------------------------------------


def _by_names(timeline: Timeline, one: Pass, loop: RepeatLoop) -> RecurrenceVerdict | None:
    names = _NamesPerRepeat(timeline, one, loop)
    if names.in_most(_CELL_OPERATOR, CELL_KERNEL):
        return RecurrenceVerdict("recurrent cell", (loop.every(_side_by_side(one, loop)),))
    if names.in_most(_DRAWN) and names.in_most(_LOOKED_UP):
        return RecurrenceVerdict("sampling loop", (loop,))
    if _has_gates(names):
        return RecurrenceVerdict("gates of a cell", (loop,))
    if _takes_slices_in_order(timeline, names):
        return RecurrenceVerdict("indexed inputs", (loop,))
    if _inside_a_layer(one, loop):
        return RecurrenceVerdict("recurrent operator", (loop,))
    return None


def _side_by_side(one: Pass, loop: RepeatLoop) -> int:
    """How many recurrences take turns, each on a stream of its own, as cuDNN's directions do.

    A timestep waits for the one before it, so repeats that alternate between streams are not one
    recurrence; as many as there are streams are a timestep together.
    """
    rows, at = one.activities.stream[loop.starts[0] : loop.end], loop.bounds()[:-1]
    stream, highest = (each.reduceat(rows, at - at[0]) for each in (np.minimum, np.maximum))
    together = len(distinct(stream))
    if not 1 < together <= _STACKED or loop.repeats < MIN_REPEATS * together:
        return 1
    alone = (stream == highest).mean() >= _MOST
    in_turn = (stream[together:] == stream[:-together]).mean() >= _MOST
    return together if alone and in_turn else 1


def _inside_a_layer(one: Pass, loop: RepeatLoop) -> bool:
    """Whether the loop runs in one call of an operator that is a recurrent layer."""
    first, last = one.activities.launch_ns[[loop.starts[0], loop.starts[-1]]]
    return any(begin <= first and last < end for begin, end in one.layers)


class _NamesPerRepeat:
    """Operators and activities by the repeat in which they were called or launched."""

    def __init__(self, timeline: Timeline, one: Pass, loop: RepeatLoop) -> None:
        edges = loop.edges_ns(one)
        host = timeline.host
        begin, end = np.searchsorted(host.start_ns, edges[[0, -1]])
        self.timeline, self.repeats = timeline, loop.repeats
        operators = np.flatnonzero(host.kind[begin:end] == OPERATOR) + begin
        self.rows = operators
        self.operator = host.name[operators]
        self.of_operator = np.searchsorted(edges, host.start_ns[operators], side="right") - 1
        self.activity = one.activities.name[loop.starts[0] : loop.end]
        self.of_activity = np.repeat(np.arange(loop.repeats), np.diff(loop.bounds()))

    def counts(self, operator: str, activity: str) -> Ints:
        """Activities of each repeat that match, or operators if no activity does."""
        count = self._count(self.activity, self.of_activity, activity)
        return count if count.any() else self._count(self.operator, self.of_operator, operator)

    def in_most(self, operator: str, activity: str | None = None) -> bool:
        """Whether most repeats have an operator or an activity of such a name."""
        count = self._count(self.operator, self.of_operator, operator)
        if activity is not None:
            count += self._count(self.activity, self.of_activity, activity)
        return bool((count > 0).mean() >= _MOST)

    def _count(self, names: Ints, repeat: Ints, pattern: str) -> Ints:
        matching = self.timeline.named(names, pattern)
        return np.bincount(repeat[matching], minlength=self.repeats)


def _has_gates(names: _NamesPerRepeat) -> bool:
    """Three sigmoids to two tanh (LSTM) or two to one (GRU, which has no softmax beside them)."""
    sigmoid, tanh = names.counts(_SIGMOID, _SIGMOID), names.counts(_TANH, _TANH)
    lstm = (tanh > 0) & (2 * sigmoid == 3 * tanh)
    gru = (tanh > 0) & (sigmoid == 2 * tanh)
    if lstm.mean() >= _MOST:
        return True
    return bool(gru.mean() >= _MOST) and not names.counts(_SOFTMAX, _SOFTMAX).any()


def _takes_slices_in_order(timeline: Timeline, names: _NamesPerRepeat) -> bool:
    """Whether each repeat takes the slice of an input behind the one before it."""
    host = timeline.host
    chosen = timeline.named(names.operator, _TAKEN) & (host.index[names.rows] >= 0)
    index, repeat = host.index[names.rows[chosen]], names.of_operator[chosen]
    first = np.append(True, np.diff(repeat) != 0)[: len(repeat)]
    steps = np.diff(index[first])
    together = np.diff(repeat[first]) == 1
    if together.sum() < _MOST * (names.repeats - 1):
        return False
    return any((steps[together] == way).mean() >= _MOST for way in (1, -1))
