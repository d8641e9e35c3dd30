"""Evaluation is no part of a step: it is told from a step's work, and taken out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import LoopSpan
from seqprof.analysis.loop.roles import MOSTLY, Roles
from seqprof.analysis.loop.updates import passes


class Evaluations:
    """Runs of forwards without gradients, and of fetches from other loaders, that evaluate.

    Such a run evaluates where it lies before a step's batch or after its update. Between the batch
    and the first forward that trains it may be a part of the step: a teacher's forward, or labels
    that the model gives itself. There a forward evaluates if its batch is from a loader of its own,
    or if its root runs so in some of the steps only.

    Args:
        iterations: all of the loop, for what is done in nearly every one.
        by_fetch: they begin with a fetch.
    """

    def __init__(self, roles: Roles, iterations: Sequence[Iteration], *, by_fetch: bool) -> None:
        self._roles = roles
        self._by_fetch = by_fetch
        steps_of: Counter[int] = Counter()
        for iteration in iterations:
            _, amid, _ = self._parts(iteration.spans)
            steps_of.update({span.key for span in amid if id(span) in roles.quiet})
        usual = MOSTLY * len(iterations)
        self._now_and_then = {key for key, steps in steps_of.items() if steps < usual}

    def set_apart(self, iteration: Iteration) -> int:
        """Take evaluation out of an iteration; returns its batches."""
        if iteration.rollout:
            return 0
        inside = iteration.spans
        before, amid, after = self._parts(inside)
        runs = [
            (run, False)
            for part in (before, after)
            for run in _runs(part, {id(span) for span in part if self._roles.evaluates(span)})
        ]
        runs += [(run, True) for run in _runs(amid, set(self._evaluating_amid(amid)))]
        for run, in_step in runs:
            # What follows up to the next span is printing it, or data: it cannot be told apart. In
            # a step, what comes before it is its loader's start.
            first, last = inside.index(run[0]), inside.index(run[-1])
            previous = inside[first - 1].end if in_step and first else None
            following = inside[last + 1].start if last + 1 < len(inside) else iteration.end
            iteration.evaluations.append((previous or run[0].start, following))
        taken = {id(span) for run, _ in runs for span in run}
        iteration.spans = [span for span in inside if id(span) not in taken]
        evaluated = [span for span in inside if id(span) in taken & self._roles.quiet]
        iteration.quiet -= len(evaluated)
        return passes([span.key for span in evaluated])

    def _evaluating_amid(self, part: Sequence[LoopSpan]) -> Iterator[int]:
        """Identities of the spans between batch and training that are no part of the step."""
        batch_of_its_own = False
        for span in part:
            other = self._roles.is_other_fetch(span)
            if other:
                batch_of_its_own = not span.left & Flag.EXHAUSTED
            apart = batch_of_its_own or span.key in self._now_and_then
            if other or (apart and id(span) in self._roles.quiet):
                yield id(span)

    def _parts(
        self, inside: list[LoopSpan]
    ) -> tuple[list[LoopSpan], list[LoopSpan], list[LoopSpan]]:
        """What lies before a step's batch, between that and its training, and after its update."""
        roles = self._roles
        work = [i for i, span in enumerate(inside) if roles.trains(span) or roles.is_update(span)]
        if not work:
            return [], [], []
        batch = self._first_batch(inside, work[0])
        return inside[:batch], inside[batch : work[0]], inside[work[-1] + 1 :]

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


def _runs(part: Sequence[LoopSpan], evaluating: set[int]) -> Iterator[list[LoopSpan]]:
    """Runs of the spans that evaluate, with their criteria."""
    run: list[LoopSpan] = []
    for span in part:
        if id(span) in evaluating or (run and span.kind == Kind.CRITERION_IN):
            run.append(span)
        elif run:
            yield run
            run = []
    if run:
        yield run
