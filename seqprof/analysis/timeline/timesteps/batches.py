"""Batch sizes of the timesteps of a loop: packed sequences end one after another."""

from __future__ import annotations

import numpy as np

from seqprof.analysis.timeline.structure import Timeline
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass

_PACKS = r"^aten::_pack_padded_sequence$"


def batch_sizes(timeline: Timeline, one: Pass, loop: RepeatLoop) -> tuple[int, ...]:
    """Rows that each timestep multiplies by a matrix; none where a timestep does not say.

    The fewest of a timestep count: beside it all inputs of a layer may be projected at once.
    """
    host, edges = timeline.host, loop.edges_ns(one)
    begin, end = np.searchsorted(host.start_ns, edges[[0, -1]])
    rows = np.flatnonzero(host.batch[begin:end] >= 0) + begin
    repeat = np.searchsorted(edges, host.start_ns[rows], side="right") - 1
    fewest = np.full(loop.repeats, np.iinfo(np.int64).max)
    np.minimum.at(fewest, repeat, host.batch[rows])
    return tuple(fewest.tolist()) if (fewest < np.iinfo(np.int64).max).all() else ()


def is_packed(timeline: Timeline, one: Pass) -> bool:
    """Whether sequences are packed in a pass."""
    host = timeline.host
    begin, end = np.searchsorted(host.start_ns, [one.start_ns, one.end_ns])
    return bool(timeline.named(host.name[begin:end], _PACKS).any())
