"""One step of a foreign loop: from where to where, and what lies in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from seqprof.analysis.loop.kinds import Flag, Kind
from seqprof.analysis.loop.log import Instant, LoopSpan
from seqprof.analysis.loop.updates import backwards, is_refused, steps_in


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

    def training_forwards(self) -> Iterator[LoopSpan]:
        """Forwards with gradients, at any depth; all forwards of a step of inference."""
        alone = not self.rounds
        for span in self.all_spans():
            if span.kind == Kind.FORWARD_IN and (alone or span.given & Flag.GRAD):
                yield span

    def all_spans(self) -> Iterator[LoopSpan]:
        """Every span at any depth."""
        for span in self.spans:
            yield from span.walk()
