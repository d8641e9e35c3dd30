"""What repeats in one pass, and which of it are timesteps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from msgspec import Struct, structs

from seqprof.analysis.timeline.processor import PROCESSOR
from seqprof.analysis.timeline.structure import Bools, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.evidence import inside_a_layer
from seqprof.analysis.timeline.timesteps.fitting import fitted
from seqprof.analysis.timeline.timesteps.layers import loops_in_layers
from seqprof.analysis.timeline.timesteps.loops import (
    RepeatLoop,
    loops_of,
    pattern_of,
    turns,
    without_anothers,
)
from seqprof.analysis.timeline.timesteps.passes import (
    Pass,
    dominant,
    on_the_host,
    opened,
    recurrent_layers,
)
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS, Period, find_periods
from seqprof.analysis.timeline.timesteps.stream import CELL_KERNEL, VIEW, Stream, symbols_of
from seqprof.analysis.timeline.timesteps.verdict import BY_NAMES, Evidence

#: Share of a stretch that timesteps must be where nothing repeats through most of it.
_SMALL_COVERAGE = 0.1
#: Runs of a level that are judged one by one, the longest ones.
_JUDGED = 8
#: Stretches of a pass that are searched one after another, and the smallest of it that counts.
_STRETCHES = 64
_SMALLEST_STRETCH = 0.02
#: Share of a pass's time below which repeats that nothing speaks for are not reported.
_SMALLEST_SHARE = 0.2
#: Loops of different lengths that are reported one by one; more are one loop of varying length.
_LENGTHS = 3
#: Which evidence stands where it speaks for several levels.
_STRENGTH: tuple[Evidence, ...] = (
    "same module",
    "shared parameters",
    "sampling loop",
    "recurrent cell",
    "gates of a cell",
    "indexed inputs",
    "recurrent operator",
    "length of the sequence",
    "multiple of its length",
)

Why = Literal["layers", "undecided", "nothing", "fused", "cells"]
#: Why there are no timesteps, the symbols of what repeats instead and how often.
Key: TypeAlias = tuple[Why, int | None, int | None]


class PassLoops(Struct, frozen=True):
    """Loops over the same number of timesteps in one pass, in order of time."""

    one: Pass
    loops: tuple[RepeatLoop, ...]
    evidence: Evidence
    outer_period: int | None = None
    outer_repeats: int | None = None

    @property
    def repeats(self) -> int:
        return self.loops[0].repeats


class Decision(Struct, frozen=True):
    """The loops over timesteps of one pass; without one, why, and what repeats instead.

    ``innermost`` is the longest run of what repeats most often, whatever it is; ``spans`` are the
    rows of all runs of what repeats instead, from and to. ``beside`` is what may be timesteps too,
    in stretches of the pass beside its loops.
    """

    loops: tuple[PassLoops, ...]
    why: Why = "nothing"
    period: int | None = None
    repeats: int | None = None
    innermost: RepeatLoop | None = None
    spans: tuple[tuple[int, int], ...] = ()
    beside: tuple[Decision, ...] = ()

    @property
    def key(self) -> Key:
        """What several passes may agree on."""
        return self.why, self.period, self.repeats


class _Judged(Struct, frozen=True):
    """One level of repetition of a stream, what it is, and from where to where."""

    level: Period
    evidence: Evidence | None
    loops: tuple[RepeatLoop, ...]
    outer: Period | None
    longest: RepeatLoop
    extent: tuple[int, int]
    spans: tuple[tuple[int, int], ...]

    @property
    def is_time(self) -> bool:
        return bool(self.loops)


def decide(timeline: Timeline, one: Pass, nodes: Nodes) -> Decision:
    """Find the timesteps of ``one``; on a device where the host's operators show them too.

    What fills a repeat the device's time tells; the views between equal cells, and where another
    loop begins, are on the host only.
    """
    decision = _decide_inside(timeline, one, nodes)
    if not decision.loops:
        return decision
    operators = on_the_host(timeline, one)
    if operators is None:
        return decision
    by_host = _decide_inside(timeline, operators, nodes)
    moved = [_moved(each, one) for each in by_host.loops]
    launched = [each for each in moved if each is not None]
    if not launched or len(launched) < len(moved):
        return decision
    by_names = all(each.evidence in BY_NAMES for each in decision.loops)
    if not by_names and _weakest(launched) > _weakest(decision.loops):
        return decision
    return structs.replace(decision, loops=tuple(launched))


def _weakest(loops: Iterable[PassLoops]) -> int:
    """The place in order of strength of the weakest evidence."""
    return max(_STRENGTH.index(each.evidence) for each in loops)


def _moved(loops: PassLoops, one: Pass) -> PassLoops | None:
    """Loops over operators as loops over what they launched; None if one launches nothing."""
    moved = []
    for loop in loops.loops:
        bounds = np.searchsorted(one.activities.launch_ns, loop.edges_ns(loops.one))
        if (np.diff(bounds) < 1).any():
            return None
        moved.append(RepeatLoop(tuple(bounds[:-1].tolist()), int(bounds[-1])))
    return structs.replace(loops, one=one, loops=tuple(moved))


def _decide_inside(timeline: Timeline, one: Pass, nodes: Nodes) -> Decision:
    """Find the timesteps of ``one``; inside its recurrent layers, or its longest operator, too."""
    one = opened(timeline, one, recurrent_layers(timeline, one))
    decision = _weighed(one, _decide(timeline, one, nodes))
    if decision.why == "nothing" and not decision.loops and (cells := _cells(timeline, one)):
        return Decision((), "cells", repeats=cells)
    if decision.loops or (row := dominant(one)) is None:
        return decision
    inner = opened(timeline, one, [row])
    inside = _decide(timeline, inner, nodes) if inner is not one else decision
    if inside.loops:
        return inside
    return decision if decision.why != "nothing" else Decision((), "fused")


def _cells(timeline: Timeline, one: Pass) -> int:
    """How often the most frequent kernel of a recurrent cell runs, 0 if fewer than make a loop."""
    if int(one.activities.device[0]) == PROCESSOR:
        return 0
    symbols = symbols_of(timeline, one)
    cells = symbols[timeline.named(symbols, CELL_KERNEL)]
    most = int(np.bincount(cells).max(initial=0))
    return most if most >= MIN_REPEATS else 0


def _weighed(one: Pass, decision: Decision) -> Decision:
    """What repeats but takes little of the pass is nothing to report without evidence."""
    time = np.append(0, np.cumsum(one.duration_ns))

    def is_small(each: Decision) -> bool:
        covered = sum(int(time[end] - time[begin]) for begin, end in each.spans)
        return each.why == "undecided" and covered < _SMALLEST_SHARE * time[-1]

    beside = tuple(each for each in decision.beside if not is_small(each))
    if is_small(decision):
        return beside[0] if beside else Decision(())
    return structs.replace(decision, beside=beside)


def _decide(timeline: Timeline, one: Pass, nodes: Nodes) -> Decision:
    """By all operators and by those that work.

    Views break a loop where a batch shrinks, as in a recurrent layer; but a view is all that tells
    two equal cells, called one after another in a timestep, from two timesteps.
    """
    everything, layers = Stream.of(timeline, one), tuple(loops_in_layers(timeline, one))
    is_view = timeline.named(one.activities.name, VIEW)
    full = _loops(timeline, one, nodes, everything, layers)
    if not is_view.any():
        return full
    bare = _loops(timeline, one, nodes, everything.at(~is_view[everything.own_rows]), layers)
    if not (full.loops and bare.loops and full.innermost and bare.innermost):
        says_more = bare.why == "nothing" and not bare.loops
        return full if full.loops or says_more else bare
    if inside_a_layer(one, bare.innermost):
        return bare
    several = _work(full.innermost, is_view) >= 2 * _work(bare.innermost, is_view)
    return full if several or _explained(full) > _explained(bare) else bare


def _explained(decision: Decision) -> tuple[int, int]:
    """How much of a pass the loops explain: repeats in all, and of equal ones in few loops."""
    loops = [loop for each in decision.loops for loop in each.loops]
    return sum(loop.repeats for loop in loops), -len(loops)


def _work(loop: RepeatLoop, is_view: Bools) -> float:
    """Operators that work per repeat."""
    return float((~is_view[loop.starts[0] : loop.end]).sum()) / loop.repeats


def _loops(
    timeline: Timeline,
    one: Pass,
    nodes: Nodes,
    stream: Stream,
    layers: tuple[tuple[RepeatLoop, ...], ...],
) -> Decision:
    """Search a stream beside its ``layers``, then what is left of it beside what repeats."""
    loops = [PassLoops(one, each, "recurrent operator") for each in layers]
    decisions: list[Decision] = []
    smallest = max(_SMALLEST_STRETCH * len(stream.symbols), MIN_REPEATS)
    spans = [(each[0].starts[0], each[-1].end) for each in layers]
    edges = [0, *np.searchsorted(stream.rows, spans).ravel().tolist(), len(stream.symbols)]
    open_parts = list(zip(edges[::2], edges[1::2], strict=True))
    for _ in range(_STRETCHES):
        if not open_parts:
            break
        begin, end = open_parts.pop(0)
        decision, taken = _search(timeline, one, nodes, stream.part(begin, end))
        decisions.append(decision)
        loops += decision.loops
        edges = [begin, *(begin + at for span in taken for at in span), end]
        parts = zip(edges[::2], edges[1::2], strict=True) if taken else ()
        open_parts += [part for part in parts if part[1] - part[0] >= smallest]
    decisions = decisions or [Decision(())]
    first = next((each for each in decisions if each.loops), decisions[0])
    others = (each for each in decisions if each is not first and each.why == "undecided")
    return structs.replace(first, loops=_alike(timeline, one, loops), beside=tuple(others))


def _alike(timeline: Timeline, one: Pass, loops: list[PassLoops]) -> tuple[PassLoops, ...]:
    """In order of time; loops over as many of the same repeats are one entry, as in one stretch."""
    symbols = symbols_of(timeline, one)
    alike: dict[tuple[int, Evidence, bytes], PassLoops] = {}
    for each in sorted(loops, key=lambda each: each.loops[0].starts[0]):
        key = each.repeats, each.evidence, pattern_of(symbols, each.loops[0]).tobytes()
        before = alike.setdefault(key, each)
        if before is not each:
            alike[key] = structs.replace(before, loops=(*before.loops, *each.loops))
    return tuple(alike.values())


def _search(
    timeline: Timeline, one: Pass, nodes: Nodes, stream: Stream
) -> tuple[Decision, list[tuple[int, int]]]:
    """The timesteps of a stretch, else what repeats in it; and where it is, in order."""
    levels = find_periods(stream.symbols)
    judged = [_judged(timeline, one, nodes, stream, levels, at) for at in range(len(levels))]
    time = [each for each in judged if each.is_time]
    if not levels:
        # Several loops, none of which is most of it: only what is known to be timesteps counts.
        levels = find_periods(stream.symbols, _SMALL_COVERAGE)
        judged = [_judged(timeline, one, nodes, stream, levels, at) for at in range(len(levels))]
        time = [each for each in judged if each.is_time]
        if int(one.activities.device[0]) != PROCESSOR:
            # Some of a device's kernels of cells are not all of its cells.
            time = [each for each in time if each.evidence not in BY_NAMES]
        judged = time
    if not time:
        return _without(judged)
    best = min(time, key=_preference)
    assert best.evidence is not None  # loops come with the evidence for them
    loops = best.loops
    spans = [np.searchsorted(stream.rows, [loop.starts[0], loop.end]).tolist() for loop in loops]
    outer = best.outer
    over_timesteps = tuple(
        PassLoops(
            one,
            group,
            best.evidence,
            outer.symbols if outer else None,
            outer.repeats if outer else None,
        )
        for group in _by_length(loops)
    )
    return Decision(over_timesteps, innermost=judged[0].longest), spans


def _preference(judged: _Judged) -> tuple[int, int]:
    """The strongest evidence first, and of equal ones most repeats."""
    strength = _STRENGTH.index(judged.evidence) if judged.evidence else len(_STRENGTH)
    return strength, -judged.level.repeats


def _without(judged: list[_Judged]) -> tuple[Decision, list[tuple[int, int]]]:
    """Why no level is a loop over timesteps, and where what repeats instead is."""
    for each in judged:
        if each.evidence is not None:
            level = each.level
            return Decision((), "layers", level.symbols, level.repeats), [each.extent]
    if judged:
        most = max(judged, key=lambda each: each.level.repeats)
        level = most.level
        first, often = judged[0].longest, most.longest.repeats
        decision = Decision((), "undecided", level.symbols, often, first, most.spans)
        return decision, [most.extent]
    return Decision(()), []


def _judged(
    timeline: Timeline,
    one: Pass,
    nodes: Nodes,
    stream: Stream,
    levels: tuple[Period, ...],
    at: int,
) -> _Judged:
    level = levels[at]
    runs = sorted(loops_of(stream.symbols, level), key=lambda loop: -loop.repeats)
    longest = [without_anothers(stream.symbols, loop) for loop in runs[:_JUDGED]]
    all_runs = longest + runs[_JUDGED:]
    extent = min(run.starts[0] for run in all_runs), max(run.end for run in all_runs)
    innermost, spans = stream.in_rows(longest[0]), stream.spans(all_runs)
    verdicts = [
        fitted(
            timeline,
            one,
            nodes,
            stream.in_rows(loop),
            map(stream.in_rows, turns(stream.symbols, loop)),
        )
        for loop in longest
    ]
    known = [verdict for verdict in verdicts if verdict is not None]
    time = [verdict for verdict in known if verdict.loops]
    outer = levels[at + 1] if at + 1 < len(levels) else None
    if not known or not time:
        evidence = known[0].evidence if known else None
        return _Judged(level, evidence, (), outer, innermost, extent, spans)
    loops = sorted((loop for each in time for loop in each.loops), key=lambda loop: loop.starts[0])
    evidence = min((each.evidence for each in time), key=_STRENGTH.index)
    return _Judged(level, evidence, tuple(loops), outer, innermost, extent, spans)


def _by_length(loops: tuple[RepeatLoop, ...]) -> Iterator[tuple[RepeatLoop, ...]]:
    """Loops of the same length together, in order of time; the most frequent only if they vary."""
    lengths = list(dict.fromkeys(loop.repeats for loop in loops))
    if len(lengths) > _LENGTHS:
        counts = [loop.repeats for loop in loops]
        lengths = [max(lengths, key=lambda length: (counts.count(length), length))]
    for length in lengths:
        yield tuple(loop for loop in loops if loop.repeats == length)
