"""The loops inside a recurrent layer's operator, by how torch writes it for the processor.

``aten::lstm`` and its like project all inputs of a layer and direction by one ``linear``, cut the
result into timesteps, and call one ``linear`` more, of the state, in each timestep: T + 1 for each
layer and direction (aten/src/ATen/native/RNN.cpp, ``FullLayer`` and ``PackedLayer``). The batch of
packed sequences shrinks or grows by views and ``cat``, which are all that makes timesteps differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seqprof.analysis.timeline.structure import Bools, Ints, Timeline
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS
from seqprof.analysis.timeline.timesteps.stream import VIEW

_LINEAR = r"^aten::linear$"
#: What joins the batch of a timestep with sequences that begin in it, or the outputs of a layer.
_JOIN = r"^aten::cat$"


def loops_in_layers(timeline: Timeline, one: Pass) -> Iterator[tuple[RepeatLoop, ...]]:
    """The loops of each opened layer of ``one`` that is as torch writes it, all of one length."""
    works = ~timeline.named(one.activities.name, f"{VIEW}|{_JOIN}")
    linear = timeline.named(one.activities.name, _LINEAR)
    for begin_ns, end_ns in one.layers:
        begin, end = np.searchsorted(one.activities.launch_ns, [begin_ns, end_ns]).tolist()
        loops = _loops(np.flatnonzero(linear[begin:end]) + begin, works, end)
        if loops:
            yield loops


def _loops(linear: Ints, works: Bools, end: int) -> tuple[RepeatLoop, ...]:
    """One for each projection among the rows ``linear``; none where lengths differ.

    Behind a projection nothing works until the first timestep's ``linear``.
    """
    if len(linear) <= MIN_REPEATS:
        return ()
    working = np.add.reduceat(np.append(works[:end], False), linear)
    projections = np.flatnonzero(working == 1)
    lengths = np.diff(np.append(projections, len(linear))) - 1
    if not len(projections) or projections[0] or lengths.min() != lengths.max():
        return ()
    repeats = int(lengths[0])
    if repeats < MIN_REPEATS:
        return ()
    return tuple(
        _loop(linear[first + 1 : first + 1 + repeats], works, end) for first in projections.tolist()
    )


def _loop(starts: Ints, works: Bools, end: int) -> RepeatLoop:
    """A loop whose last timestep ends behind its last work: as much as the others do."""
    working = np.flatnonzero(works[starts[-1] : end]) + starts[-1]
    usual = int(np.median(np.diff(np.searchsorted(np.flatnonzero(works), starts))))
    return RepeatLoop(tuple(starts.tolist()), int(working[: max(usual, 1)][-1]) + 1)
