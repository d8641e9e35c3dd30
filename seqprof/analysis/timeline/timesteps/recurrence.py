"""Timesteps that nobody marked: find the loop over time in the stream of kernels or operators.

What repeats in a pass over a phase is a candidate; :mod:`.evidence` says whether it is a loop over
timesteps, a stack of layers, or neither for certain. The backward is not searched where autograd's
sequence numbers tie it to the forward: its timesteps are those of the forward that it reaches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct, structs

from seqprof.analysis.timeline.intervals import union
from seqprof.analysis.timeline.phases import Phases
from seqprof.analysis.timeline.structure import Activities, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes, autograd_nodes
from seqprof.analysis.timeline.timesteps.batches import batch_sizes, is_packed
from seqprof.analysis.timeline.timesteps.bptt import Reached, backward_of
from seqprof.analysis.timeline.timesteps.candidates import (
    Decision,
    Key,
    PassLoops,
    Why,
    decide,
)
from seqprof.analysis.timeline.timesteps.passes import (
    Pass,
    Passes,
    host_work,
    passes,
    searched,
)
from seqprof.analysis.timeline.timesteps.slow import OpenedTimestep, slowest
from seqprof.analysis.timeline.timesteps.timestep_loop import Origin, Recurrence, Rejected
from seqprof.analysis.timeline.timesteps.verdict import Evidence

_REASONS: dict[Why, str] = {
    "undecided": "{repeats} repeats; timesteps or layers, the trace cannot tell; {advice}",
    "layers": "the {repeats} repeats are layers: each has modules or parameters of its own",
    "nothing": "nothing repeats through most of the phase",
    "cells": "{repeats} kernels of a recurrent cell, among others that do not repeat with them: "
    "timesteps times layers times directions; the trace cannot tell which",
    "fused": "one call takes most of the phase, and shows no timesteps",
}

#: Of what repeats in stretches beside the timesteps.
_BESIDE = "beside them "

#: Reasons that leave open whether there are timesteps, or how many.
_MAY_BE = ("undecided", "cells")


class _Timing(Struct, frozen=True):
    """One loop of one pass: times of each timestep, and what of the pass its loops cover."""

    latency_ns: Ints
    gap_ns: Ints
    period: int
    coverage: float
    slowest: tuple[OpenedTimestep, ...] = ()


class _Entry(Struct, frozen=True):
    """A loop (or several of one length) in one pass, forward or backward."""

    one: Pass
    repeats: int
    loops: int
    evidence: Evidence
    origin: Origin
    timing: _Timing
    outer_period: int | None = None
    outer_repeats: int | None = None
    forward_repeats: int | None = None
    batch_sizes: tuple[int, ...] = ()
    packed: bool = False


Result = tuple[list[Recurrence], list[Rejected]]


def find_recurrences(
    timeline: Timeline, activities: Activities, segment: Ints, phases: Phases
) -> tuple[tuple[Recurrence, ...], tuple[Rejected, ...]]:
    """Search each phase in which a model runs; ``segment`` is that of each activity's launch."""
    nodes = autograd_nodes(timeline)
    work = host_work(timeline, activities)

    def of_phase(phase: str) -> Passes:
        return passes(activities, segment, phases, phase, work)

    if not {"forward", "backward"} & phases.methods.keys():
        recurrences, rejected = _search(timeline, nodes, "other", of_phase("other"))
        return tuple(recurrences), tuple(rejected)
    forward = of_phase("forward")
    decisions = _decided(timeline, searched(forward), nodes)
    left_out = len(forward) - len(decisions)
    first = _result(
        timeline, "forward", decisions, [_entries(timeline, each) for each in decisions], left_out
    )
    second = _backward(timeline, nodes, decisions, of_phase("backward"), left_out)
    return (*first[0], *_beside(first[0], second[0])), (*first[1], *second[1])


def _search(timeline: Timeline, nodes: Nodes, phase: str, passes: Passes) -> Result:
    decisions = _decided(timeline, searched(passes), nodes)
    entries = [_entries(timeline, each) for each in decisions]
    return _result(timeline, phase, decisions, entries, len(passes) - len(decisions))


def _decided(timeline: Timeline, passes: list[Pass], nodes: Nodes) -> list[Decision]:
    """What repeats in each pass; the same activities in the same order are searched once."""
    known: dict[bytes, tuple[Pass, Decision]] = {}
    decisions = []
    for one in passes:
        key = one.activities.name.tobytes()
        before, decision = known.get(key, (None, None))
        # One in which layers were opened has rows of its own.
        if decision is None or any(loops.one is not before for loops in decision.loops):
            decision = decide(timeline, one, nodes)
            known[key] = one, decision
        else:
            moved = tuple(structs.replace(loops, one=one) for loops in decision.loops)
            decision = structs.replace(decision, loops=moved)
        decisions.append(decision)
    return decisions


def _beside(forward: list[Recurrence], backward: list[Recurrence]) -> list[Recurrence]:
    """The backward's loops, each with T of the forward's where only their order ties them."""
    if len(forward) != len(backward):
        return backward
    return [
        structs.replace(one, forward_repeats=one.forward_repeats or other.repeats)
        for one, other in zip(backward, forward, strict=True)
    ]


def _backward(
    timeline: Timeline,
    nodes: Nodes,
    forward: list[Decision],
    backward: Passes,
    unsearched: int,
) -> Result:
    """The backward by the forward's timesteps, else by what repeats in it."""
    tied = [
        [entry for loops in decision.loops for entry in _tied(timeline, loops, backward, nodes)]
        for decision in forward
    ]
    if any(tied):
        return _result(timeline, "backward", [], tied, unsearched)
    if forward and all(decision.why == "layers" for decision in forward) and backward:
        return _result(timeline, "backward", forward, [])
    return _search(timeline, nodes, "backward", backward)


def _result(
    timeline: Timeline,
    phase: str,
    decisions: list[Decision],
    entries: list[list[_Entry]],
    unsearched: int = 0,
) -> Result:
    """One recurrence for each loop that most passes have, or the reason why there is none."""
    have = [of_pass for of_pass in entries if of_pass]
    if have and len(have) * 2 >= len(entries):
        count = Counter(map(len, have)).most_common(1)[0][0]
        alike = [of_pass for of_pass in have if len(of_pass) == count]
        columns = zip(*alike, strict=True)
        loops = [_recurrence(phase, column, len(entries), unsearched) for column in columns]
        beside = Counter(each.key for one in decisions for each in one.beside)
        often = (key for key, count in beside.items() if count * 2 >= len(decisions))
        return loops, [_rejected(timeline, phase, key, _BESIDE) for key in often]
    if not decisions:
        return [], []
    why = Counter(one.key for one in decisions if not one.loops)
    return [], [_rejected(timeline, phase, why.most_common(1)[0][0])]


def _rejected(timeline: Timeline, phase: str, key: Key, beside: str = "") -> Rejected:
    why, period, repeats = key
    said = beside + _REASONS[why].format(repeats=repeats, advice=_advice(timeline))
    return Rejected(phase, said, period, repeats, undecided=why in _MAY_BE)


def _advice(timeline: Timeline) -> str:
    """What to record so that a trace can tell timesteps from layers."""
    host = timeline.host
    if not timeline.has_stacks:
        return "record with torch.profiler's with_stack=True to know"
    if not ((host.index >= 0) | (host.batch >= 0)).any():
        return "its modules do not; torch.profiler's record_shapes=True may"
    return "neither its modules nor its inputs do"


def _recurrence(
    phase: str, passes_: Sequence[_Entry], searched: int, unsearched: int
) -> Recurrence:
    """The loop as in the pass of median length among those that agree on T."""
    repeats = Counter(entry.repeats for entry in passes_).most_common(1)[0][0]
    agreeing = [entry for entry in passes_ if entry.repeats == repeats]
    entry = sorted(agreeing, key=lambda each: _duration(each.one))[len(agreeing) // 2]
    timing = entry.timing
    return Recurrence(
        phase=phase,
        period=timing.period,
        repeats=entry.repeats,
        coverage=timing.coverage,
        passes=searched,
        agreeing=len(agreeing),
        evidence=entry.evidence,
        latency_ns=tuple(timing.latency_ns.tolist()),
        gap_ns=tuple(timing.gap_ns.tolist()),
        median_latency_ns=int(np.median(timing.latency_ns)),
        median_gap_ns=int(np.median(timing.gap_ns)),
        loops=entry.loops,
        origin=entry.origin,
        repeats_by_pass=tuple(each.repeats for each in passes_),
        outer_period=entry.outer_period,
        outer_repeats=entry.outer_repeats,
        steps=tuple(each.one.step for each in passes_) if passes_[0].one.step else (),
        unsearched=unsearched,
        forward_repeats=entry.forward_repeats,
        batch_sizes=entry.batch_sizes,
        packed=entry.packed,
        slowest=timing.slowest,
    )


def _duration(one: Pass) -> int:
    return int(one.activities.end_ns.max() - one.activities.start_ns.min())


# Forward, or any phase by what repeats in it ----------------------------------------------------


def _entries(timeline: Timeline, decision: Decision) -> list[_Entry]:
    return [
        _Entry(
            loops.one,
            loops.repeats,
            len(loops.loops),
            loops.evidence,
            "repeats",
            _of_repeats(timeline, loops),
            loops.outer_period,
            loops.outer_repeats,
            batch_sizes=batch_sizes(timeline, loops.one, loops.loops[0]),
            packed=is_packed(timeline, loops.one),
        )
        for loops in decision.loops
    ]


def _of_repeats(timeline: Timeline, loops: PassLoops) -> _Timing:
    """Times of the first loop, which are those of its own rows."""
    activities, loop = loops.one.activities, loops.loops[0]
    bounds = loop.bounds()
    rows = slice(loop.starts[0], loop.end)
    starts = np.minimum.reduceat(activities.start_ns[rows], bounds[:-1] - bounds[0])
    end = int(activities.end_ns[loop.starts[-1] : loop.end].max())
    covered = sum(each.end - each.starts[0] for each in loops.loops)
    period = round(float(np.median(np.diff(bounds))))
    return _timed(timeline, activities.at(rows), starts, end, period, covered / len(activities))


def _timed(
    timeline: Timeline, activities: Activities, starts: Ints, end: int, period: int, coverage: float
) -> _Timing:
    """Times of the timesteps that begin at ``starts``; the last ends at ``end``."""
    # On several streams a timestep may begin before the one launched earlier: it has no time.
    edges = np.maximum.accumulate(np.append(starts, max(end, int(starts.max()))))
    covered = union(activities.start_ns, activities.end_ns)
    latency = np.diff(edges)
    gap = latency - covered.within(edges[:-1], edges[1:])
    return _Timing(latency, gap, period, coverage, slowest(timeline, activities, edges, gap))


# Backward by the forward's timesteps ------------------------------------------------------------


def _tied(timeline: Timeline, loops: PassLoops, backward: Passes, nodes: Nodes) -> list[_Entry]:
    """The loops of ``loops`` in the backward; those that it follows as far are one entry."""
    reached = backward_of(loops, backward, nodes)
    by_length: dict[int, list[Reached]] = {}
    for each in reached:
        by_length.setdefault(len(each.timesteps), []).append(each)
    return [
        _Entry(
            group[0].one,
            length,
            len(group),
            loops.evidence,
            "sequence numbers",
            _of_nodes(timeline, group),
            forward_repeats=loops.repeats,
        )
        for length, group in by_length.items()
    ]


def _of_nodes(timeline: Timeline, group: list[Reached]) -> _Timing:
    """Times of the first loop, in the order in which the backward reaches its timesteps."""
    first = group[0]
    activities = first.one.activities
    inside = first.timestep >= 0
    step = np.searchsorted(first.timesteps, first.timestep[inside])
    mine = activities.where(inside)
    starts = np.full(len(first.timesteps), np.iinfo(np.int64).max)
    np.minimum.at(starts, step, mine.start_ns)
    covered = sum(int((each.timestep >= 0).sum()) for each in group) / len(activities)
    period = round(float(np.median(np.bincount(step))))
    return _timed(timeline, activities, np.sort(starts), int(mine.end_ns.max()), period, covered)
