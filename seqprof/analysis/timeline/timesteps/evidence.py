"""Whether the repeats of a loop are timesteps or layers, by what fills them.

A stack of equal layers repeats just as a loop over timesteps does. What counts is the part of a
trace that carries the repeat's time: a rotary embedding shared by all layers, or a frozen
parameter, says nothing. In order of strength:

- modules (``with_stack=True``): the same ones are called again, or others;
- gradients: those of a shared parameter are finished in the first repeat (the last that the
  backward reaches), those of a layer's own in its repeat;
- recurrent cells by their operators' names, or by the gates of an LSTM or a GRU;
- a token that each repeat draws and the next looks up;
- slices of the input in the order of the repeats (``record_shapes=True``);
- as many repeats as timesteps, where T is known (:mod:`.known_length`).

Without any of these nothing is claimed.
"""

from __future__ import annotations

import numpy as np

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import OPERATOR, Floats, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.gradients import by_gradients
from seqprof.analysis.timeline.timesteps.known_length import by_length
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop, with_usual_times
from seqprof.analysis.timeline.timesteps.modules import calls_per_repeat
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS
from seqprof.analysis.timeline.timesteps.stream import CELL_KERNEL, VIEW
from seqprof.analysis.timeline.timesteps.verdict import FILLS, MOST, STACKED, RecurrenceVerdict

_CELL_OPERATOR = r"(?:lstm|gru|rnn_tanh|rnn_relu)_cell(?!.*[Bb]ackward)"
_SIGMOID, _TANH = r"^(?:aten::)?sigmoid_?$|sigmoid_kernel", r"^(?:aten::)?tanh_?$|tanh_kernel"
_SOFTMAX = r"(?i)softmax|attention|flash"
_DRAWN = r"^aten::(?:multinomial|argmax|topk|exponential_)$"
_LOOKED_UP = r"^aten::embedding$"
_TAKEN = r"^aten::select$"


def judge(
    timeline: Timeline, one: Pass, loop: RepeatLoop, nodes: Nodes
) -> RecurrenceVerdict | None:
    """What the repeats of ``loop`` are; None where the trace cannot tell."""
    for verdict in (
        _by_modules(timeline, one, loop),
        by_gradients(timeline, one, loop, nodes),
        _by_names(timeline, one, loop),
        by_length(timeline, one, loop),
    ):
        if verdict is not None:
            return verdict
    return None


# Modules ----------------------------------------------------------------------------------------


def _by_modules(timeline: Timeline, one: Pass, loop: RepeatLoop) -> RecurrenceVerdict | None:
    calls = calls_per_repeat(timeline, with_usual_times(one, loop), loop)
    if calls is None:
        return None
    again = [calls.shared_with(distance) for distance in range(1, STACKED + 1)]
    for distance, shared in enumerate(again[: loop.repeats // 2], start=1):
        if (shared >= FILLS).mean() >= MOST:
            loops = _split(loop.every(distance), shared, distance)
            return RecurrenceVerdict(
                "same module", tuple(calls.settled(one, loop, part) for part in loops)
            )
    return RecurrenceVerdict("same module")


def _split(loop: RepeatLoop, shared: Floats, distance: int) -> tuple[RepeatLoop, ...]:
    """Cut where a repeat has nothing in common with the one before: another loop begins."""
    alien = distinct(np.flatnonzero(shared < FILLS) // distance + 1)
    return loop.split(alien[alien < loop.repeats].tolist())


# Names ------------------------------------------------------------------------------------------


def _by_names(timeline: Timeline, one: Pass, loop: RepeatLoop) -> RecurrenceVerdict | None:
    names = _NamesPerRepeat(timeline, one, loop)
    if names.in_most(_CELL_OPERATOR, CELL_KERNEL):
        return RecurrenceVerdict("recurrent cell", (loop.every(_side_by_side(one, loop)),))
    if names.in_most(_DRAWN) and names.in_most(_LOOKED_UP):
        return RecurrenceVerdict("sampling loop", (loop,))
    if _has_gates(names):
        return RecurrenceVerdict("gates of a cell", (loop,))
    if (first := _first_slice(timeline, names, loop.edges_ns(one))) is not None:
        return RecurrenceVerdict("indexed inputs", (_behind(timeline, one, loop, first),))
    if inside_a_layer(one, loop):
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
    if not 1 < together <= STACKED or loop.repeats < MIN_REPEATS * together:
        return 1
    alone = (stream == highest).mean() >= MOST
    in_turn = (stream[together:] == stream[:-together]).mean() >= MOST
    return together if alone and in_turn else 1


def inside_a_layer(one: Pass, loop: RepeatLoop) -> bool:
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
        return bool((count > 0).mean() >= MOST)

    def _count(self, names: Ints, repeat: Ints, pattern: str) -> Ints:
        matching = self.timeline.named(names, pattern)
        return np.bincount(repeat[matching], minlength=self.repeats)


def _has_gates(names: _NamesPerRepeat) -> bool:
    """Three sigmoids to two tanh (LSTM) or two to one (GRU, which has no softmax beside them)."""
    sigmoid, tanh = names.counts(_SIGMOID, _SIGMOID), names.counts(_TANH, _TANH)
    lstm = (tanh > 0) & (2 * sigmoid == 3 * tanh)
    gru = (tanh > 0) & (sigmoid == 2 * tanh)
    if lstm.mean() >= MOST:
        return True
    return bool(gru.mean() >= MOST) and not names.counts(_SOFTMAX, _SOFTMAX).any()


def _first_slice(timeline: Timeline, names: _NamesPerRepeat, edges_ns: Ints) -> int | None:
    """The repeat whose input is taken first, if each takes the slice behind the one before it.

    It may be taken at the end of the repeat before.
    """
    host = timeline.host
    chosen = timeline.named(names.operator, _TAKEN) & (host.index[names.rows] >= 0)
    index, repeat = host.index[names.rows[chosen]], names.of_operator[chosen]
    first = np.append(True, np.diff(repeat) != 0)[: len(repeat)]
    steps = np.diff(index[first])
    together = np.diff(repeat[first]) == 1
    if together.sum() < MOST * (names.repeats - 1):
        return None
    in_order = any((steps[together] == way).mean() >= MOST for way in (1, -1))
    if not in_order:
        return None
    middle = (edges_ns[:-1] + edges_ns[1:]) // 2
    late = (host.start_ns[names.rows[chosen]] > middle[repeat])[first].mean() >= MOST
    return int(repeat[0]) + int(late)


def _behind(timeline: Timeline, one: Pass, loop: RepeatLoop, sliced: int) -> RepeatLoop:
    """The loop less what precedes the repeat ``sliced`` and only looks like a repeat.

    It lacks some of the work that others do. A first timestep lacks that or an input, not both.
    """
    names, bounds = one.activities.name, loop.bounds()
    works = ~timeline.named(names, VIEW)

    def held(repeat: int) -> set[int]:
        rows = slice(bounds[repeat], bounds[repeat + 1])
        return set(names[rows][works[rows]].tolist())

    usual, first = held(loop.repeats // 2), 0
    while first < min(sliced, loop.repeats - MIN_REPEATS) and usual - held(first):
        first += 1
    return RepeatLoop(loop.starts[first:], loop.end)
