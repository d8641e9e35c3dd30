"""Evaluation is no part of a step: it is told from a step's work, and taken out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import LoopSpan
from seqprof.analysis.loop.roles import MOSTLY, Roles


class Evaluations:
    """Runs of forwards without gradients, and of fetches from other loaders, that evaluate.

    Such a run evaluates where it lies before a step's batch or after its update. Between the batch
    and the first forward that trains it may be a part of the step: a teacher's forward, or labels
    that the model gives itself. There it evaluates if it fetches from a loader of its own, or if
    the trained model runs so in some of the steps only.

    Args:
        iterations: all of the loop, for what is done in nearly every one.
        by_fetch: they begin with a fetch.
    """

    def __init__(self, roles: Roles, iterations: Sequence[Iteration], *, by_fetch: bool) -> None:
        self._roles = roles
        self._by_fetch = by_fetch
        own = sum(
            any(self._is_own(span) for span in self._before_training(iteration.spans))
            for iteration in iterations
        )
        self._now_and_then = own < MOSTLY * len(iterations)

    def set_apart(self, iteration: Iteration) -> int:
        """Take evaluation out of an iteration; returns its batches."""
        if iteration.rollout:
            return 0
        inside = iteration.spans
        runs = list(self._runs_of(inside))
        taken = {id(span) for run in runs for span in run}
        for run in runs:
            first, last = inside.index(run[0]), inside.index(run[-1])
            # What follows up to the next span is printing it, or data: it cannot be told apart. In
            # a step, what comes before it is its loader's start.
            before = inside[first - 1].end if first and self._is_amid(inside, first) else None
            after = inside[last + 1].start if last + 1 < len(inside) else iteration.end
            iteration.evaluations.append((before or run[0].start, after))
        iteration.spans = [span for span in inside if id(span) not in taken]
        evaluated = sum(id(span) in self._roles.quiet for run in runs for span in run)
        iteration.quiet -= evaluated
        return evaluated

    def _runs_of(self, inside: Sequence[LoopSpan]) -> Iterator[list[LoopSpan]]:
        work = self._work(inside)
        if not work:
            return
        yield from self._runs(inside[: self._first_batch(inside, work[0])])
        yield from filter(self._is_apart, self._runs(self._before_training(inside)))
        yield from self._runs(inside[work[-1] + 1 :])

    def _is_amid(self, inside: Sequence[LoopSpan], index: int) -> bool:
        """Whether a span lies between a step's batch and its training."""
        work = self._work(inside)
        return self._first_batch(inside, work[0]) <= index < work[0]

    def _runs(self, part: Sequence[LoopSpan]) -> Iterator[list[LoopSpan]]:
        """Runs of spans that evaluate, with their criteria."""
        run: list[LoopSpan] = []
        for span in part:
            if self._roles.evaluates(span) or (run and span.kind == Kind.CRITERION_IN):
                run.append(span)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _is_apart(self, run: Sequence[LoopSpan]) -> bool:
        """Whether a run between batch and training is no part of the step."""
        if any(self._roles.is_other_fetch(span) for span in run):
            return True
        forwards = [span for span in run if id(span) in self._roles.quiet]
        return self._now_and_then and all(map(self._is_own, forwards))

    def _is_own(self, span: LoopSpan) -> bool:
        """Whether the trained model itself runs without gradients."""
        return id(span) in self._roles.quiet and span.key in self._roles.train_roots

    # --- parts of a step -----------------------------------------------------------------------

    def _work(self, inside: Sequence[LoopSpan]) -> list[int]:
        roles = self._roles
        return [i for i, span in enumerate(inside) if roles.trains(span) or roles.is_update(span)]

    def _before_training(self, inside: Sequence[LoopSpan]) -> Sequence[LoopSpan]:
        """What lies between the batch and the first span that trains."""
        work = self._work(inside)
        return inside[self._first_batch(inside, work[0]) : work[0]] if work else ()

    def _first_batch(self, inside: Sequence[LoopSpan], first: int) -> int:
        """Where the batch is fetched, ``first`` at the latest.

        Evaluation may come before it, when the loader had ended.
        """
        if not self._by_fetch:
            return first
        for index, span in enumerate(inside[:first]):
            if self._roles.is_train_fetch(span) and not span.left & Flag.EXHAUSTED:
                return index
        return 0
