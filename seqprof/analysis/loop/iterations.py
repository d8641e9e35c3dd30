"""Spans → iterations: where a step of a foreign loop begins and ends, and what lies between steps.

An update is the step of an optimizer (or a GradScaler's refusal); without optimizers a backward;
without any backward a forward. An iteration lasts from fetch to fetch where batches are fetched
between updates, and from update to update where they are not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from seqprof.analysis.loop.kinds import ROUND, Flag, Kind
from seqprof.analysis.loop.log import Instant, LoopEvent, LoopSpan, driving_thread, spans
from seqprof.analysis.loop.updates import (
    backwards,
    is_quiet,
    is_refused,
    optimizer_of,
    steps_in,
    steps_inside,
    taking_turns,
    update_sort,
)

Boundary = Literal["fetch", "optimizer", "backward", "forward", "step"]
#: Share of updates after which a batch must be fetched before the next forward, for a loop in
#: which an iteration lasts from fetch to fetch.
MOSTLY = 0.8
#: Forwards without gradients of one root, in nearly every iteration and so many, are a rollout.
FEWEST_ROLLOUT = 2


@dataclass(slots=True)
class Iteration:
    """One step of the user's loop.

    Attributes:
        spans: outermost spans, in order; those of evaluation are not among them.
        evaluations: intervals of evaluation, which are no part of the step.
        finished: it has its update.
        flags, number: of the agent's own iteration that it belongs to.
        pair: the round that the iteration belongs to, among the measured ones.
        sizes: (T, B) of each forward that trains, 0 where not known.
    """

    index: int
    start: Instant
    end: Instant
    spans: list[LoopSpan]
    evaluations: list[tuple[Instant, Instant]] = field(default_factory=list)
    quiet: int = 0
    rollout: bool = False
    finished: bool = True
    flags: int = 0
    number: int = -1
    pair: int = 0
    stride: int | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """Backwards: micro-batches, calls of a closure, or one for each optimizer.

        One inside a forward (forces of an energy, a compiler that traces) is a part of that.
        """
        return backwards(self.spans, in_forward=False) or backwards(self.spans, in_forward=True)

    @property
    def updates(self) -> int:
        """Optimizer steps that took effect, over all optimizers."""
        return sum(steps_in(span) for span in self.spans)

    @property
    def skipped(self) -> int:
        """Optimizer steps that a GradScaler refused."""
        return sum(is_refused(span) for span in self.spans)

    def all_spans(self) -> Iterator[LoopSpan]:
        """Every span at any depth."""
        for span in self.spans:
            yield from span.walk()


@dataclass(frozen=True, slots=True)
class LoopAnalysis:
    """A foreign loop.

    Attributes:
        evaluation_batches: forwards without gradients outside of steps.
        exhausted: how often a training loader ended.
    """

    boundary: Boundary
    iterations: tuple[Iteration, ...]
    evaluation_batches: int
    exhausted: int


def find_loop(events: list[LoopEvent]) -> LoopAnalysis:
    """Derive the iterations of a log; what comes after the window's end is not looked at.

    The window ends when the next iteration begins: in that one all hooks are taken out.
    """
    ends = (index for index, event in enumerate(events) if event.kind == Kind.WINDOW)
    events = events[: next(ends, len(events)) + 1]
    outermost = spans(events, driving_thread(events))
    last = events[-1].instant if events else Instant(0, 0)
    said = [e.instant for e in events if e.kind == Kind.STEP]
    loop = _Reader(outermost, last).read(said)
    _assign_events(loop.iterations, events)
    return loop


class _Reader:
    """The passes over the outermost spans, in their order."""

    def __init__(self, outermost: list[LoopSpan], last: Instant) -> None:
        self._spans = outermost
        self._last = last
        self._quiet = {id(span) for span in outermost if is_quiet(span)}
        self._sort = update_sort(outermost)
        if self._sort == "forward":
            self._quiet.clear()
        self._train_loaders = self._find_train_loaders()
        self._ends = self._update_ends()

    # --- passes --------------------------------------------------------------------------------

    def read(self, said: list[Instant]) -> LoopAnalysis:
        by_fetch = self._fetched_between() and not said
        if said:
            starts = [*(span.start for span in self._spans[:1]), *said]
        else:
            starts = self._starts_at_fetch() if by_fetch else self._starts_at_update()
        iterations = list(self._cut(starts))
        self._find_rollouts(iterations)
        evaluated = self._evaluations_outside(iterations)
        for iteration in iterations:
            evaluated += self._set_apart(iteration, by_fetch)
        boundary: Boundary = "step" if said else "fetch" if by_fetch else self._sort
        exhausted = sum(
            span.kind == Kind.FETCH_IN
            and bool(span.left & Flag.EXHAUSTED)
            and span.key in self._train_loaders
            for span in self._spans
        )
        return LoopAnalysis(boundary, tuple(iterations), evaluated, exhausted)

    def _find_train_loaders(self) -> set[int]:
        """Loaders whose batches are trained on: fetched since the last forward or backward.

        Where several are fetched for one step, they all are; one that is fetched before what trains
        only now and then holds what evaluation left.
        """
        direct: set[int] = set()
        together: Counter[int] = Counter()
        fetched: list[int] = []
        trained, waiting = 0, False
        for span in self._spans:
            if span.kind == Kind.FETCH_IN and not span.left & Flag.EXHAUSTED:
                fetched = [*(() if waiting else fetched), span.key]
                waiting = False
            elif self._trains(span):
                direct.update(fetched[-1:])
                together.update(set(fetched))
                trained += bool(fetched)
                fetched = []
            elif id(span) in self._quiet:
                waiting = True  # a teacher's, or evaluation: the next fetch tells
        return direct | {key for key, count in together.items() if count >= MOSTLY * trained}

    def _trains(self, span: LoopSpan) -> bool:
        if span.kind == Kind.FORWARD_IN:
            return id(span) not in self._quiet
        return span.kind == Kind.BACKWARD_IN or span.holds(Kind.BACKWARD_IN)

    def _update_ends(self) -> list[int]:
        """Indices of the spans with which updates end."""
        ends = [i for i, span in enumerate(self._spans) if self._is_update(span)]
        if self._sort != "optimizer":
            return ends
        return [self._with_scaler_update(i) for i in ends]

    def _is_update(self, span: LoopSpan) -> bool:
        if span.end is None or span.left & Flag.FAILED:
            return False
        if self._sort == "optimizer":
            step = span.kind == Kind.SCALER_IN and not span.given & (Flag.UPDATE | Flag.UNSCALE)
            return step or span.kind == Kind.OPTIMIZER_IN or steps_inside(span)
        if self._sort == "backward":
            return span.kind == Kind.BACKWARD_IN
        return span.kind == Kind.FORWARD_IN

    def _with_scaler_update(self, i: int) -> int:
        """A scaler's ``update`` follows its ``step`` and belongs to it."""
        j = i
        while j + 1 < len(self._spans) and self._spans[j + 1].kind == Kind.SCALER_IN:
            j += 1
            if self._spans[j].given & Flag.UPDATE:
                return j
        return i

    def _fetched_between(self) -> bool:
        """Whether batches are fetched between an update and the next training forward."""
        updates = fetches = 0
        for end in self._last_of_cycle():
            first = self._first_after(end)
            if first is not None:
                updates += 1
                fetches += first.kind == Kind.FETCH_IN
        if not updates:  # a single update, or none
            return bool(self._train_loaders)
        return fetches >= MOSTLY * updates

    def _first_after(self, end: int) -> LoopSpan | None:
        """The first training fetch, forward or backward after an update."""
        for span in self._spans[end + 1 :]:
            if self._is_train_fetch(span) or self._trains(span):
                return span
        return None

    def _is_train_fetch(self, span: LoopSpan) -> bool:
        return span.kind == Kind.FETCH_IN and span.key in self._train_loaders

    def _starts_at_fetch(self) -> list[Instant]:
        """An iteration starts with the first training fetch after an update."""
        starts, ends, waiting = [], set(self._ends), True
        for i, span in enumerate(self._spans):
            if waiting and self._is_train_fetch(span):
                starts.append(span.start)
                waiting = False
            if i in ends:
                waiting = True
        return starts

    def _starts_at_update(self) -> list[Instant]:
        """An iteration starts where the last update, and the zero_grad after it, ended."""
        if not any(self._trains(span) for span in self._spans):
            return []
        # A rollout before the first training forward is the first iteration's.
        first = next(s for s in self._spans if self._trains(s) or s.kind == Kind.FORWARD_IN)
        starts = [first.start]
        ends = self._last_of_cycle()
        for end in ends:
            j = end
            while j + 1 < len(self._spans) and self._spans[j + 1].kind == Kind.ZERO_GRAD_IN:
                j += 1
            closed = self._spans[j].end
            if closed is not None:
                starts.append(closed)
        return starts

    def _last_of_cycle(self) -> list[int]:
        """With several optimizers a step ends with the one that came last when all were new."""
        keys = [optimizer_of(self._spans[end]) for end in self._ends]
        last = {key: group[-1] for group in taking_turns(keys) for key in group}
        return [end for end, key in zip(self._ends, keys, strict=True) if key == last[key]]

    def _cut(self, starts: list[Instant]) -> Iterator[Iteration]:
        if not starts:
            return
        at = [span.start.at_ns for span in self._spans]
        ends = sorted(self._ends)
        for index, (start, end) in enumerate(pairwise([*starts, self._last])):
            low, high = bisect_left(at, start.at_ns), bisect_left(at, end.at_ns)
            inside = self._spans[low:high]
            if not any(self._trains(span) for span in inside):
                continue
            finished = bisect_left(ends, low) < bisect_left(ends, high)
            if index == len(starts) - 1:
                inside, end = _without_tail(inside, self._last)
            yield Iteration(index, start, end, inside, finished=finished)

    def _find_rollouts(self, iterations: Sequence[Iteration]) -> None:
        counts = [self._quiet_in(iteration) for iteration in iterations]
        fetches = any(
            span.kind == Kind.FETCH_IN and span.key not in self._train_loaders
            for iteration in iterations
            for span in iteration.spans
        )
        often = sum(count >= FEWEST_ROLLOUT for count in counts[1:])
        rollout = len(counts) > 2 and not fetches and often >= MOSTLY * (len(counts) - 1)
        for iteration, count in zip(iterations, counts, strict=True):
            iteration.quiet, iteration.rollout = count, rollout

    def _quiet_in(self, iteration: Iteration) -> int:
        return sum(id(span) in self._quiet for span in iteration.spans)

    def _evaluations_outside(self, iterations: Sequence[Iteration]) -> int:
        """Forwards without gradients before the first step, after the last and between two."""
        inside = {id(span) for iteration in iterations for span in iteration.spans}
        return len(self._quiet - inside)

    # --- evaluation ----------------------------------------------------------------------------

    def _set_apart(self, iteration: Iteration, by_fetch: bool) -> int:
        """Take evaluation out of an iteration; returns its batches."""
        if iteration.rollout:
            return 0
        blocks = list(self._blocks(iteration, by_fetch))
        taken = {id(span) for block in blocks for span in block}
        for block in blocks:
            # What follows up to the next span is printing it, or data: it cannot be told apart.
            iteration.evaluations.append((block[0].start, _next_start(iteration, block[-1])))
        iteration.spans = [span for span in iteration.spans if id(span) not in taken]
        evaluated = sum(id(span) in self._quiet for block in blocks for span in block)
        iteration.quiet -= evaluated
        return evaluated

    def _blocks(self, iteration: Iteration, by_fetch: bool) -> Iterator[list[LoopSpan]]:
        """Runs of spans that evaluate: outside of the part from the batch to the update."""
        block: list[LoopSpan] = []
        for part in self._outside(iteration, by_fetch):
            for span in part:
                if self._evaluates(span) or (block and span.kind == Kind.CRITERION_IN):
                    block.append(span)
                elif block:
                    yield block
                    block = []
            if any(self._evaluates(span) for span in block):
                yield block
            block = []

    def _evaluates(self, span: LoopSpan) -> bool:
        other = span.kind == Kind.FETCH_IN and span.key not in self._train_loaders
        return other or id(span) in self._quiet

    def _outside(self, iteration: Iteration, by_fetch: bool) -> Iterator[list[LoopSpan]]:
        """The spans before the first training span and those after the update."""
        inside = iteration.spans
        work = [i for i, span in enumerate(inside) if self._trains(span) or self._is_update(span)]
        if not work:
            return
        first = self._first_batch(inside) if by_fetch else work[0]
        yield inside[: min(first, work[0])]
        yield inside[work[-1] + 1 :]

    def _first_batch(self, inside: list[LoopSpan]) -> int:
        """Where the batch is fetched: evaluation may come before it, when the loader had ended.

        A forward without gradients after it (a teacher's) is part of the step.
        """
        for index, span in enumerate(inside):
            if self._is_train_fetch(span) and not span.left & Flag.EXHAUSTED:
                return index
        return 0


def _without_tail(inside: list[LoopSpan], last: Instant) -> tuple[list[LoopSpan], Instant]:
    """The last iteration ends with its last span, less a loader's end that belongs to no step."""
    while inside and inside[-1].kind == Kind.FETCH_IN:
        inside = inside[:-1]
    return inside, (inside[-1].end or last) if inside else last


def _next_start(iteration: Iteration, span: LoopSpan) -> Instant:
    """Where the span after ``span`` begins, or the iteration ends."""
    at = iteration.spans.index(span)
    following = iteration.spans[at + 1 : at + 2]
    return following[0].start if following else iteration.end


def _assign_events(iterations: Sequence[Iteration], events: list[LoopEvent]) -> None:
    """Give each iteration the agent's flags and the sizes of its training forwards."""
    marks = [event for event in events if event.kind == Kind.ITERATION]
    at = [event.at_ns for event in marks]
    for iteration in iterations:
        index = bisect_left(at, _commitment(iteration)) - 1
        iteration.flags = marks[index].flags if index >= 0 else int(Flag.WARMUP)
        iteration.number = marks[index].key if index >= 0 else -1
    first = min((i.number for i in iterations if i.flags != Flag.WARMUP), default=0)
    for iteration in iterations:
        iteration.pair = max(0, iteration.number - first) // ROUND
    _assign_sizes(iterations, [event for event in events if event.kind == Kind.SHAPE])


def _commitment(iteration: Iteration) -> int:
    """An instant at which the agent's own iteration is this one: the first training span's end."""
    for span in iteration.spans:
        if span.kind in (Kind.FORWARD_IN, Kind.BACKWARD_IN, Kind.OPTIMIZER_IN):
            return (span.end or iteration.end).at_ns
    return iteration.end.at_ns


def _assign_sizes(iterations: Sequence[Iteration], shapes: list[LoopEvent]) -> None:
    at = [event.at_ns for event in shapes]
    for iteration in iterations:
        alone = not iteration.rounds  # inference: no forward has gradients
        for span in iteration.all_spans():
            if span.kind == Kind.FORWARD_IN and (alone or span.given & Flag.GRAD):
                index = bisect_left(at, (span.end or iteration.end).at_ns) - 1
                if index >= 0 and shapes[index].key:
                    key = shapes[index].key
                    iteration.sizes.append((key & 0xFFFFF, key >> 20))
