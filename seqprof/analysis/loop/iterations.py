"""Spans → iterations: where a step of a foreign loop begins and ends, and what lies between steps.

An update is the step of an optimizer (or a GradScaler's refusal); without optimizers a backward;
without any backward a forward. An iteration lasts from fetch to fetch where batches are fetched
between updates, and from update to update where they are not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from seqprof.analysis.loop.evaluations import Evaluations
from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.kinds import ROUND, Flag, Kind
from seqprof.analysis.loop.log import Instant, LoopEvent, LoopSpan, driving_thread, spans
from seqprof.analysis.loop.roles import MOSTLY, Roles
from seqprof.analysis.loop.updates import is_quiet, optimizer_of, passes, taking_turns

Boundary = Literal["fetch", "optimizer", "backward", "forward", "step"]
#: Forwards without gradients of one root, in nearly every iteration and so many, are a rollout.
FEWEST_ROLLOUT = 2
_TRAINING = (Kind.FORWARD_IN, Kind.BACKWARD_IN, Kind.OPTIMIZER_IN)


@dataclass(frozen=True, slots=True)
class LoopAnalysis:
    """A foreign loop.

    Attributes:
        evaluation_batches: passes without gradients outside of steps, whose gradients nobody takes.
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
        self._roles = Roles(outermost)
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
        evaluations = Evaluations(self._roles, iterations, by_fetch=by_fetch)
        evaluated += sum(map(evaluations.set_apart, iterations))
        boundary: Boundary = "step" if said else "fetch" if by_fetch else self._roles.sort
        exhausted = sum(
            self._roles.is_train_fetch(span) and bool(span.left & Flag.EXHAUSTED)
            for span in self._spans
        )
        return LoopAnalysis(boundary, tuple(iterations), evaluated, exhausted)

    def _update_ends(self) -> list[int]:
        """Indices of the spans with which updates end."""
        ends = [i for i, span in enumerate(self._spans) if self._roles.is_update(span)]
        if self._roles.sort != "optimizer":
            return ends
        return [self._with_scaler_update(i) for i in ends]

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
            return bool(self._roles.train_loaders)
        return fetches >= MOSTLY * updates

    def _first_after(self, end: int) -> LoopSpan | None:
        """The first training fetch, forward or backward after an update."""
        for span in self._spans[end + 1 :]:
            if self._roles.is_train_fetch(span) or self._roles.trains(span):
                return span
        return None

    def _starts_at_fetch(self) -> list[Instant]:
        """An iteration starts with the first training fetch after an update."""
        starts, ends, waiting = [], set(self._ends), True
        for i, span in enumerate(self._spans):
            if waiting and self._roles.is_train_fetch(span):
                starts.append(span.start)
                waiting = False
            if i in ends:
                waiting = True
        return starts

    def _starts_at_update(self) -> list[Instant]:
        """An iteration starts where the last update ended, and a zero_grad that belongs to it."""
        if not any(self._roles.trains(span) for span in self._spans):
            return []
        # A rollout before the first training forward is the first iteration's.
        first = next(s for s in self._spans if self._roles.trains(s) or s.kind == Kind.FORWARD_IN)
        starts = [first.start]
        ends = self._last_of_cycle()
        if not self._zeroed_at_the_top(ends):
            ends = [self._with_zero_grads(end) for end in ends]
        return starts + [closed for end in ends if (closed := self._spans[end].end) is not None]

    def _with_zero_grads(self, end: int) -> int:
        """Index of the last zero_grad that follows a span; of the span itself where none does."""
        while end + 1 < len(self._spans) and self._spans[end + 1].kind == Kind.ZERO_GRAD_IN:
            end += 1
        return end

    def _zeroed_at_the_top(self, ends: Sequence[int]) -> bool:
        """Whether a step begins with zero_grad: it lies nearer to what follows than to the update.

        The batch is made before it then, where none is fetched.
        """
        before, after = [], []
        for end in ends:
            last = self._with_zero_grads(end)
            closed, ready = self._spans[end].end, self._spans[last].end
            if last > end and last + 1 < len(self._spans) and closed and ready:
                before.append(self._spans[end + 1].start.at_ns - closed.at_ns)
                after.append(self._spans[last + 1].start.at_ns - ready.at_ns)
        return bool(before) and median(before) > median(after)

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
            if not any(self._roles.trains(span) for span in inside):
                continue
            finished = bisect_left(ends, low) < bisect_left(ends, high)
            if index == len(starts) - 1:
                inside, end = _without_tail(inside, self._last)
            yield Iteration(index, start, end, inside, finished=finished)

    def _find_rollouts(self, iterations: Sequence[Iteration]) -> None:
        counts = [self._quiet_in(iteration) for iteration in iterations]
        fetches = any(
            self._roles.is_other_fetch(span) for iteration in iterations for span in iteration.spans
        )
        often = sum(count >= FEWEST_ROLLOUT for count in counts[1:])
        rollout = len(counts) > 2 and not fetches and often >= MOSTLY * (len(counts) - 1)
        for iteration, count in zip(iterations, counts, strict=True):
            iteration.quiet, iteration.rollout = count, rollout

    def _quiet_in(self, iteration: Iteration) -> int:
        return sum(id(span) in self._roles.quiet for span in iteration.spans)

    def _evaluations_outside(self, iterations: Sequence[Iteration]) -> int:
        """Forwards without gradients before the first step, after the last and between two."""
        inside = {id(span) for iteration in iterations for span in iteration.spans}
        outside = self._roles.quiet - inside
        return passes([span.key for span in self._spans if id(span) in outside])


def _without_tail(inside: list[LoopSpan], last: Instant) -> tuple[list[LoopSpan], Instant]:
    """The last iteration ends with its last span, less a loader's end that belongs to no step."""
    while inside and inside[-1].kind == Kind.FETCH_IN:
        inside = inside[:-1]
    return inside, (inside[-1].end or last) if inside else last


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
    """An instant at which the agent's own iteration is this one: the first training span's end.

    The agent sees an iteration begin there at the latest: a rollout comes before it.
    """
    work = (span for span in iteration.spans if span.kind in _TRAINING)
    first = min(work, key=is_quiet, default=None)  # a forward without gradients where all are
    return ((first.end if first else None) or iteration.end).at_ns


def _assign_sizes(iterations: Sequence[Iteration], shapes: list[LoopEvent]) -> None:
    at = [event.at_ns for event in shapes]
    for iteration in iterations:
        for span in iteration.training_forwards():
            index = bisect_left(at, (span.end or iteration.end).at_ns) - 1
            if index >= 0 and shapes[index].key:
                key = shapes[index].key
                iteration.sizes.append((key & 0xFFFFF, key >> 20))
