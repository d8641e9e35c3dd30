"""Timesteps that nobody marked: find the loop over time in the stream of kernels or operators.

A stack of equal layers repeats in the stream just as a loop over timesteps does. What tells them
apart is whether the repeats share their parameters: autograd accumulates the gradient of a shared
parameter once, after the loop, and that of a layer's own parameter inside its repeat; a module
that is called again is the same module, while a layer is another one. Where a trace has neither,
names of attention and convolution speak against a recurrence, and what is left is reported as a
pattern only.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Literal

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.intervals import union
from seqprof.analysis.timeline.phases import PHASES, Phases, autograd_operators
from seqprof.analysis.timeline.repeats import MIN_LIKENESS, Period, Run, find_periods
from seqprof.analysis.timeline.structure import (
    MODULE,
    Activities,
    Ints,
    Timeline,
)

Evidence = Literal["shared parameters", "same module", "pattern only"]

#: Passes over a phase that are searched, and symbols in each; more would only repeat the answer.
_PASSES = 3
_LONGEST = 200_000
_SCRAP = 0.1
_LAYER_KERNEL = r"(?i)attention|attn|fmha|flash|softmax|conv|batch_?norm|winograd"
#: Compiled graphs all bear the same name, whichever they are.
_OWN_MODULE = r"^nn\.Module: (?!GraphModule)"
_FAR = np.iinfo(np.int64).max
_ACCUMULATE = r"AccumulateGrad$"


class Recurrence(Struct, frozen=True):
    """A loop over timesteps in one phase; times of the pass of median length, one per timestep.

    ``latency_ns`` reaches from a timestep's first activity to the next one's (the last: to its own
    end), ``gap_ns`` is the part of it in which nothing ran. Their medians are of all timesteps.
    """

    phase: str
    period: int
    repeats: int
    coverage: float
    passes: int
    agreeing: int
    evidence: Evidence
    latency_ns: tuple[int, ...]
    gap_ns: tuple[int, ...]
    median_latency_ns: int
    median_gap_ns: int
    outer_period: int | None = None
    outer_repeats: int | None = None


class Rejected(Struct, frozen=True):
    """A pattern that repeats but is no recurrence, or none at all (``period`` is null)."""

    phase: str
    reason: str
    period: int | None = None
    repeats: int | None = None


class _Pass(Struct, frozen=True):
    """One uninterrupted pass over a phase: its activities in the order of their launch."""

    phase: str
    activities: Activities
    launch_ns: Ints
    start_ns: int
    end_ns: int
    backward_ns: tuple[int, int]


def find_recurrences(
    timeline: Timeline, activities: Activities, segment: Ints, phases: Phases
) -> tuple[tuple[Recurrence, ...], tuple[Rejected, ...]]:
    """Search each phase in which a model runs; ``segment`` is that of each activity's launch."""
    found, rejected = [], []
    for phase in ("forward", "backward", "other"):
        if phase == "other" and {"forward", "backward"} & phases.methods.keys():
            continue
        passes = _passes(activities, segment, phases, phase)
        if not passes:
            continue
        result = _search(timeline, passes)
        if isinstance(result, Recurrence):
            found.append(result)
        else:
            rejected.append(result)
    return tuple(found), tuple(rejected)


def _passes(activities: Activities, segment: Ints, phases: Phases, phase: str) -> list[_Pass]:
    """The passes of a phase, the longest first; launchless activities are left out."""
    segments = phases.segments
    wanted = np.flatnonzero(segments.phase == PHASES.index(phase))
    counts = np.bincount(segment[segment >= 0], minlength=len(segments.phase))
    # A scrap of a phase before or after it, such as a lone operator, is no pass over it.
    wanted = wanted[counts[wanted] > _SCRAP * counts[wanted].max(initial=0)]
    wanted = wanted[np.argsort(-counts[wanted], kind="stable")][:_PASSES]
    ends = np.append(segments.start_ns[1:], _FAR)
    passes = []
    for row in wanted:
        mine = np.flatnonzero(segment == row)
        order = np.lexsort((activities.start_ns[mine], activities.launch_ns[mine]))[:_LONGEST]
        mine = mine[order]
        begin, end = int(segments.start_ns[row]), int(ends[row])
        passes.append(
            _Pass(
                phase,
                _taken(activities, mine),
                activities.launch_ns[mine],
                begin,
                end,
                (begin, _next_forward(phases, row)) if phase == "forward" else (begin, end),
            )
        )
    return passes


def _next_forward(phases: Phases, row: int) -> int:
    """When the forward after segment ``row`` begins: the backward of ``row`` is before it."""
    later = np.flatnonzero(phases.segments.phase[row + 1 :] == PHASES.index("forward"))
    after = np.flatnonzero(phases.segments.phase[row + 1 :] == PHASES.index("backward"))
    if len(after):
        later = later[later > after[0]]
    return int(phases.segments.start_ns[row + 1 + later[0]]) if len(later) else _FAR


def _taken(activities: Activities, rows: Ints) -> Activities:
    return Activities(*(getattr(activities, name)[rows] for name in activities.__struct_fields__))


def _search(timeline: Timeline, passes: list[_Pass]) -> Recurrence | Rejected:
    phase = passes[0].phase
    periods = [(one, find_periods(one.activities.name)) for one in passes]
    repeating = [(one, found) for one, found in periods if found]
    if len(repeating) * 2 < len(passes):
        return Rejected(phase, "nothing repeats through most of the phase")
    levels = [(one, max(found, key=lambda level: level.repeats), found) for one, found in repeating]
    key = Counter((level.symbols, level.repeats) for _, level, _ in levels).most_common(1)[0][0]
    agreeing = [entry for entry in levels if (entry[1].symbols, entry[1].repeats) == key]
    one, level, found = sorted(agreeing, key=lambda entry: _duration(entry[0]))[len(agreeing) // 2]
    evidence = _evidence(timeline, one, level)
    if isinstance(evidence, Rejected):
        return evidence
    run = max(level.runs, key=lambda run: run.repeats)
    latency, gap = _timing(one.activities, run)
    outer = next((other for other in found if other.symbols > level.symbols), None)
    return Recurrence(
        phase=phase,
        period=level.symbols,
        repeats=level.repeats,
        coverage=level.coverage,
        passes=len(passes),
        agreeing=len(agreeing),
        evidence=evidence,
        latency_ns=tuple(latency.tolist()),
        gap_ns=tuple(gap.tolist()),
        median_latency_ns=int(np.median(latency)),
        median_gap_ns=int(np.median(gap)),
        outer_period=outer.symbols if outer else None,
        outer_repeats=outer.repeats if outer else None,
    )


def _duration(one: _Pass) -> int:
    return int(one.activities.end_ns.max() - one.activities.start_ns.min())


def _timing(activities: Activities, run: Run) -> tuple[Ints, Ints]:
    """Latency and gap of each timestep of ``run``."""
    starts = np.array([activities.start_ns[at:stop].min() for at, stop in _bounds(run)])
    last = int(activities.end_ns[run.starts[-1] : run.end].max())
    # On several streams a timestep may begin before the one launched earlier: it has no time.
    edges = np.maximum.accumulate(np.append(starts, max(last, int(starts.max()))))
    rows = slice(run.starts[0], run.end)
    covered = union(activities.start_ns[rows], activities.end_ns[rows])
    latency = np.diff(edges)
    gap = latency - covered.within(edges[:-1], edges[1:])
    return latency, gap


def _bounds(run: Run) -> list[tuple[int, int]]:
    return list(zip(run.starts, (*run.starts[1:], run.end), strict=True))


def _evidence(timeline: Timeline, one: _Pass, level: Period) -> Evidence | Rejected:
    """What shows that the repeats are timesteps, or why they are not."""
    verdict = _by_gradients(timeline, one, level)
    if verdict is None:
        verdict = _by_modules(timeline, one, level)
    if verdict is None:
        names = one.activities.name[level.runs[0].starts[0] : level.runs[0].end]
        layers = any(_is_of_a_layer(timeline.names[code]) for code in distinct(names))
        verdict = False if layers else "pattern only"
    if verdict:
        return verdict
    return Rejected(
        one.phase, "the repeats look like layers, not timesteps", level.symbols, level.repeats
    )


@cache
def _is_of_a_layer(kernel: str) -> bool:
    return re.search(_LAYER_KERNEL, kernel) is not None


def _by_gradients(
    timeline: Timeline, one: _Pass, level: Period
) -> Evidence | Literal[False] | None:
    """Whether parameters are shared, told by where the backward accumulates their gradients.

    Fewer parameters than repeats must be shared. Otherwise the backward of a loop is one long
    stretch of nodes without any accumulation, that of a stack accumulates all along.
    ``None`` if autograd left no trace, ``False`` if each repeat may have parameters of its own.
    """
    host = timeline.host
    begin, end = one.backward_ns
    nodes = host.where(
        autograd_operators(timeline) & (host.start_ns >= begin) & (host.start_ns < end)
    )
    reach = np.maximum.accumulate(nodes.end_ns)
    outermost = np.append(True, nodes.start_ns[1:] >= reach[:-1])[: len(nodes)]
    accumulates = timeline.named(nodes.name[outermost], _ACCUMULATE)
    if not accumulates.any():
        return None
    if accumulates.sum() < level.repeats:
        return "shared parameters"
    edges = np.flatnonzero(np.concatenate(([True], accumulates, [True])))
    return "shared parameters" if np.diff(edges).max() - 1 >= len(accumulates) / 2 else False


def _by_modules(timeline: Timeline, one: _Pass, level: Period) -> Evidence | Literal[False] | None:
    """Whether the repeats call the same module; ``None`` if the trace does not show modules."""
    run = max(level.runs, key=lambda run: run.repeats)
    end = one.launch_ns[run.end] if run.end < len(one.launch_ns) else one.end_ns
    edges = np.append(one.launch_ns[np.array(run.starts)], end)
    host = timeline.host
    calls = (host.kind == MODULE) & timeline.named(host.name, _OWN_MODULE)
    inside = calls & (host.start_ns >= edges[0]) & (host.start_ns < edges[-1])
    if not inside.any():
        return None
    repeat = np.searchsorted(edges, host.start_ns[inside], side="right")
    # Each module counts once in a repeat, however often it is called there.
    pairs = distinct(host.name[inside] * len(edges) + repeat - 1)
    repeats_of_a_module = np.bincount(pairs // len(edges)).max()
    return "same module" if repeats_of_a_module >= MIN_LIKENESS * level.repeats else False
