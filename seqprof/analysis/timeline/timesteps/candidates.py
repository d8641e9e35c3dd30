"""What repeats in one pass, and which of it are timesteps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from msgspec import Struct, structs

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.processor import PROCESSOR
from seqprof.analysis.timeline.structure import Bools, Ints, Timeline
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.evidence import (
    BY_NAMES,
    CELL_KERNEL,
    Evidence,
    RecurrenceVerdict,
    judge,
)
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop, loops_of, turns
from seqprof.analysis.timeline.timesteps.passes import (
    Pass,
    dominant,
    on_the_host,
    opened,
    recurrent_layers,
)
from seqprof.analysis.timeline.timesteps.repeats import MIN_REPEATS, Period, find_periods

#: Operators that only name a part of a tensor, or memory: no work of their own.
_VIEW = (
    r"^aten::(?:empty\w*|as_strided\w*|view\w*|_unsafe_view|narrow|slice|select|t|transpose|permute"
    r"|expand|expand_as|unsqueeze|squeeze|(?:unsafe_)?(?:chunk|split)\w*|unbind|detach|alias"
    r"|resize_|lift_fresh|numpy_T|swapaxes|movedim)$"
)
#: What joins the outputs of a layer, begins a state or projects all inputs of the next layer.
_PREPARES = r"(?i)cat|stack|zero|fill|flip|linear|addmm|gemm|matmul"
#: What torch.compile made of a function: its number, and the how manieth of it.
_COMPILED = r"^Torch-Compiled Region: \d+/\d+$"
#: What seeks it: it belongs to the operator behind it.
_LOOKUP = r"^TorchDynamo Cache Lookup$"
#: Equal parts of a loop that are layers and directions; more are something else in the loop.
_LAYERS = 8
#: Runs of a level that are judged one by one, the longest ones.
_JUDGED = 8
#: Stretches of a pass that are searched one after another, and the smallest of it that counts.
_STRETCHES = 4
_SMALLEST_STRETCH = 0.1
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
)

Why = Literal["layers", "undecided", "nothing", "fused", "cells"]


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

    ``innermost`` is the longest run of what repeats most often, whatever it is.
    """

    loops: tuple[PassLoops, ...]
    why: Why = "nothing"
    period: int | None = None
    repeats: int | None = None
    innermost: RepeatLoop | None = None


class _Stream(Struct, frozen=True):
    """Symbols of a pass, and the row of each; operators that do no work may be left out.

    ``rows`` is where each begins: with a lookup that precedes it, if one does.
    """

    symbols: Ints
    rows: Ints
    own_rows: Ints

    @classmethod
    def of(cls, timeline: Timeline, one: Pass) -> _Stream:
        """All of a pass."""
        symbols = _symbols(timeline, one)
        seeks = timeline.named(one.activities.name, _LOOKUP)
        rows = np.flatnonzero(~seeks)
        begins = np.where((rows > 0) & seeks[rows - 1], rows - 1, rows)
        return cls(symbols[rows], begins, rows)

    def part(self, begin: int, end: int) -> _Stream:
        return self.at(slice(begin, end))

    def at(self, where: slice | Bools) -> _Stream:
        """The symbols that ``where`` chooses."""
        return _Stream(self.symbols[where], self.rows[where], self.own_rows[where])

    def in_rows(self, loop: RepeatLoop) -> RepeatLoop:
        """The same loop in rows of the pass."""
        rows = np.append(self.rows, self.own_rows[-1] + 1)
        return RepeatLoop(tuple(int(rows[at]) for at in loop.starts), int(rows[loop.end]))


class _Judged(Struct, frozen=True):
    """One level of repetition of a stream, and what it is."""

    level: Period
    evidence: Evidence | None
    loops: tuple[RepeatLoop, ...]
    outer: Period | None
    longest: RepeatLoop

    @property
    def is_time(self) -> bool:
        return bool(self.loops)


def decide(timeline: Timeline, one: Pass, nodes: Nodes) -> Decision:
    """Find the timesteps of ``one``; on a device by the host's operators, where names alone tell.

    The views between equal cells, and where another loop begins, are on the host only.
    """
    decision = _decide_inside(timeline, one, nodes)
    if not decision.loops or any(each.evidence not in BY_NAMES for each in decision.loops):
        return decision
    operators = on_the_host(timeline, one)
    if operators is None:
        return decision
    by_host = _decide_inside(timeline, operators, nodes)
    moved = [_moved(each, one) for each in by_host.loops]
    launched = [each for each in moved if each is not None]
    if not launched or len(launched) < len(moved):
        return decision
    return structs.replace(decision, loops=tuple(launched))


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
    symbols = _symbols(timeline, one)
    cells = symbols[timeline.named(symbols, CELL_KERNEL)]
    most = int(np.bincount(cells).max(initial=0))
    return most if most >= MIN_REPEATS else 0


def _weighed(one: Pass, decision: Decision) -> Decision:
    """What repeats but takes little of the pass is nothing to report without evidence."""
    loop = decision.innermost
    if decision.why != "undecided" or loop is None:
        return decision
    time = one.duration_ns
    small = time[loop.starts[0] : loop.end].sum() < _SMALLEST_SHARE * time.sum()
    return Decision(()) if small else decision


def _decide(timeline: Timeline, one: Pass, nodes: Nodes) -> Decision:
    """By all operators and by those that work.

    Views break a loop where a batch shrinks; but a view is all that tells two equal cells, called
    one after another in a timestep, from two timesteps.
    """
    everything = _Stream.of(timeline, one)
    is_view = timeline.named(one.activities.name, _VIEW)
    full = _loops(timeline, one, nodes, everything)
    if not is_view.any():
        return full
    bare = _loops(timeline, one, nodes, everything.at(~is_view[everything.own_rows]))
    if not (full.loops and bare.loops and full.innermost and bare.innermost):
        return full if full.loops else bare
    several = _work(full.innermost, is_view) >= 2 * _work(bare.innermost, is_view)
    return full if several else bare


def _symbols(timeline: Timeline, one: Pass) -> Ints:
    """The names of a pass; variants of one function or of one cell's kernel are one of them.

    Both differ where what a call is given differs, as the first and the last timestep's state or
    gradient does: torch.compile compiles anew, a kernel is an instance of other arguments.
    """
    symbols = one.activities.name
    for pattern, behind in ((_COMPILED, "/"), (CELL_KERNEL, "<")):
        symbols = _joined(timeline, symbols, pattern, behind)
    return symbols


def _joined(timeline: Timeline, names: Ints, pattern: str, behind: str) -> Ints:
    """One symbol for all names that match ``pattern`` and differ only behind its first mark."""
    matching = timeline.named(names, pattern)
    if not matching.any():
        return names
    symbols, known = names.copy(), dict[str, int]()
    for code in distinct(names[matching]).tolist():
        common = timeline.names[code].partition(behind)[0]
        symbols[names == code] = known.setdefault(common, code)
    return symbols


def _work(loop: RepeatLoop, is_view: Bools) -> float:
    """Operators that work per repeat."""
    return float((~is_view[loop.starts[0] : loop.end]).sum()) / loop.repeats


def _loops(timeline: Timeline, one: Pass, nodes: Nodes, stream: _Stream) -> Decision:
    """Search a stream, then what is left of it before and behind the loops that were found."""
    loops: list[PassLoops] = []
    first: Decision | None = None
    smallest = max(_SMALLEST_STRETCH * len(stream.symbols), MIN_REPEATS)
    open_parts = [(0, len(stream.symbols))]
    for _ in range(_STRETCHES):
        if not open_parts:
            break
        begin, end = open_parts.pop(0)
        decision, taken = _search(timeline, one, nodes, stream.part(begin, end))
        first = first or decision
        loops += decision.loops
        parts = [(begin, begin + taken[0]), (begin + taken[1], end)] if decision.loops else []
        open_parts += [part for part in parts if part[1] - part[0] >= smallest]
    if first is None or not loops:
        return first or Decision(())
    ordered = tuple(sorted(loops, key=lambda each: each.loops[0].starts[0]))
    return Decision(ordered, innermost=first.innermost)


def _search(
    timeline: Timeline, one: Pass, nodes: Nodes, stream: _Stream
) -> tuple[Decision, tuple[int, int]]:
    """The timesteps of a stretch, and from where to where in it they reach."""
    levels = find_periods(stream.symbols)
    judged = [_judged(timeline, one, nodes, stream, levels, at) for at in range(len(levels))]
    time = [each for each in judged if each.is_time]
    if not time:
        return _without(judged), (0, 0)
    best = min(time, key=_preference)
    assert best.evidence is not None  # loops come with the evidence for them
    loops = best.loops
    starts = np.searchsorted(stream.rows, [loops[0].starts[0], loops[-1].end])
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
    return Decision(over_timesteps, innermost=judged[0].longest), (int(starts[0]), int(starts[1]))


def _preference(judged: _Judged) -> tuple[int, int]:
    """The strongest evidence first, and of equal ones most repeats."""
    strength = _STRENGTH.index(judged.evidence) if judged.evidence else len(_STRENGTH)
    return strength, -judged.level.repeats


def _without(judged: list[_Judged]) -> Decision:
    """Why no level is a loop over timesteps."""
    for each in judged:
        if each.evidence is not None:
            return Decision((), "layers", each.level.symbols, each.level.repeats)
    if judged:
        level = max((each.level for each in judged), key=lambda level: level.repeats)
        return Decision((), "undecided", level.symbols, level.repeats, judged[0].longest)
    return Decision(())


def _judged(
    timeline: Timeline,
    one: Pass,
    nodes: Nodes,
    stream: _Stream,
    levels: tuple[Period, ...],
    at: int,
) -> _Judged:
    level = levels[at]
    runs = loops_of(stream.symbols, level)
    longest = sorted(runs, key=lambda loop: -loop.repeats)[:_JUDGED]
    innermost = stream.in_rows(longest[0])
    verdicts = [_best_turn(timeline, one, nodes, stream, loop) for loop in longest]
    known = [verdict for verdict in verdicts if verdict is not None]
    time = [verdict for verdict in known if verdict.loops]
    outer = levels[at + 1] if at + 1 < len(levels) else None
    if not known or not time:
        return _Judged(level, known[0].evidence if known else None, (), outer, innermost)
    loops = sorted((loop for each in time for loop in each.loops), key=lambda loop: loop.starts[0])
    evidence = min((each.evidence for each in time), key=_STRENGTH.index)
    return _Judged(level, evidence, tuple(loops), outer, innermost)


def _best_turn(
    timeline: Timeline, one: Pass, nodes: Nodes, stream: _Stream, loop: RepeatLoop
) -> RecurrenceVerdict | None:
    """What a loop is, begun where its edges fit best what the repeats hold."""
    best = judge(timeline, one, stream.in_rows(loop), nodes)
    if best is None or not best.loops:
        return best
    if best.evidence in BY_NAMES:
        return RecurrenceVerdict(best.evidence, _equal_parts(timeline, one, best.loops[0]))
    if best.unevenness == (1, 0):
        return best
    for other in turns(stream.symbols, loop):
        verdict = judge(timeline, one, stream.in_rows(other), nodes)
        if (
            verdict is not None
            and verdict.loops
            and verdict.evidence == best.evidence
            and verdict.unevenness < best.unevenness
        ):
            best = verdict
    return best


def _equal_parts(timeline: Timeline, one: Pass, loop: RepeatLoop) -> tuple[RepeatLoop, ...]:
    """Cut a loop where another layer or direction is prepared, if that makes equal parts."""
    names, bounds = one.activities.name, loop.bounds()
    works = ~timeline.named(names, _VIEW)
    prepares = timeline.named(names, _PREPARES)
    many = [np.add.reduceat(each[: loop.end], bounds[:-1]) for each in (works, prepares)]
    breaks = np.all([count > np.median(count) for count in many], axis=0)
    begins = np.flatnonzero(breaks[:-1]) + 1
    parts = np.diff([0, *begins.tolist(), loop.repeats])
    if len(parts) > _LAYERS or parts.min() != parts.max():
        return (loop,)
    return loop.split(begins.tolist())


def _by_length(loops: tuple[RepeatLoop, ...]) -> Iterator[tuple[RepeatLoop, ...]]:
    """Loops of the same length together, in order of time; the most frequent only if they vary."""
    lengths = list(dict.fromkeys(loop.repeats for loop in loops))
    if len(lengths) > _LENGTHS:
        counts = [loop.repeats for loop in loops]
        lengths = [max(lengths, key=lambda length: (counts.count(length), length))]
    for length in lengths:
        yield tuple(loop for loop in loops if loop.repeats == length)
