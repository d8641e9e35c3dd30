"""Depth and work of a model at the T that it trains with, for `run`, `compare` and `scale`.

Short lengths are recorded, and their law tells the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from torch import nn

from seqprof.analysis.depth.laws import fit_law
from seqprof.analysis.depth.recorded_law import depth_law
from seqprof.errors import SeqprofError
from seqprof.measure.depth.counted import is_settled, law_lengths, points_of, record, taken_lengths
from seqprof.measure.depth.subjects import Subject, meta_copy, training_step
from seqprof.measure.faults import reason_of
from seqprof.recording import CountedDepth, DepthLaw
from seqprof.spec import TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.losses import Loss
from seqprof.workloads.own_step import StepFunction

#: Operations that may be recorded before depth does without further lengths: 1 to 3 s as a rule.
#: Counted, not timed: how fast or busy the machine is must not decide what is found.
BUDGET_OPERATIONS = 15_000
#: Processor seconds after which that is done too, whatever the operations are.
_MOST_S = 20.0
#: The longest T that is recorded where the model takes no shorter one.
_ALONE = 512


def depth_at_lengths(
    model: nn.Module,
    loss: Loss,
    train: TrainSpec,
    template: Batch,
    timesteps: Sequence[int],
    budget: int = BUDGET_OPERATIONS,
    own_step: StepFunction | None = None,
) -> tuple[DepthLaw, ...]:
    """Return depth and work at each T, by their laws, from a meta copy of ``model``.

    One that does not run on shapes alone runs a few steps itself, over first parts of ``template``.

    Args:
        template: a batch as the model gets it.
        timesteps: T that depth and work are wanted for.
        budget: about how many operations may be recorded.
        own_step: the user's own training step, in place of forward and loss.

    Never raises for what the model does: the reason is in the result.
    """
    truncate = train.bptt.truncate
    batch_size = template.batch_size
    # T up to one chunk of truncated BPTT has another law than a longer one.
    short = [t for t in timesteps if truncate is None or t <= truncate]
    whole = [t for t in timesteps if truncate is not None and t > truncate and not t % truncate]

    def of(model: nn.Module, batches: Callable[[int], Batch], real: bool) -> dict[int, DepthLaw]:
        step = training_step(model, loss, train, batches, own_step)
        subject = Subject("the model", "", model, step, batch_size, train, truncate=truncate)
        subject = replace(subject, real=real)
        laws: dict[int, DepthLaw] = {}
        if short:
            laws |= _tell(replace(subject, truncate=None), short, budget)
        if whole:
            laws |= _tell(subject, whole, budget)
        return laws

    try:
        laws = of(meta_copy(model), lambda t: template.without_values(t, batch_size), real=False)
    except Exception as error:
        reason = reason_of(error)
        try:
            laws = of(model, template.prefix, real=True)
        except Exception:  # the first reason says more
            return tuple(DepthLaw(timesteps=t, reason=reason) for t in timesteps)
    reason = f"T is no multiple of train.bptt.truncate ({truncate}): the law is for whole chunks"
    return tuple(laws.get(t) or DepthLaw(timesteps=t, reason=reason) for t in timesteps)


class _Counts:
    """Work and depth by T, and how much recording them took."""

    def __init__(self, subject: Subject, budget: int) -> None:
        self._subject, self._budget = subject, budget
        self._timesteps = self._operations = 0
        self._spent_s = 0.0
        self.work: dict[int, int] = {}
        self.depth: dict[int, int] = {}

    def add(self, timesteps: int) -> None:
        first = not self.depth
        started = time.process_time()
        graph = record(self._subject, timesteps)
        for length, point in points_of(self._subject, graph, timesteps).items():
            self.work[length] = point.step.work_ops
            self.depth[length] = point.step.depth_ops
        self._timesteps += timesteps
        self._operations += len(graph.names)
        if not first:  # torch imports parts of itself at the first
            self._spent_s += time.process_time() - started

    def counted(self) -> CountedDepth:
        """Return what was counted, by length."""
        lengths = sorted(self.depth)
        return CountedDepth(
            lengths=tuple(lengths),
            depth_ops=tuple(self.depth[t] for t in lengths),
            work_ops=tuple(self.work[t] for t in lengths),
            batch_size=self._subject.batch_size,
            chunk=self._subject.chunk,
        )

    def allows(self, timesteps: int, share: float = 1.0) -> bool:
        """Whether ``timesteps`` can be recorded as well within ``share`` of the budget."""
        grown = 1 + timesteps / max(1, self._timesteps)
        return (
            self._operations * grown <= share * self._budget
            and self._spent_s * grown <= share * _MOST_S
        )


def _tell(subject: Subject, timesteps: Sequence[int], budget: int) -> dict[int, DepthLaw]:
    """Record the law's lengths; those that it says nothing about as well, if quick."""
    counts = _Counts(subject, budget)
    longest = max(timesteps)
    for length in taken_lengths(subject, law_lengths(subject, longest), longest):
        if not counts.allows(length, 0.5) or is_settled(counts.depth):
            break
        with suppress(SeqprofError):  # of such a length there is none
            counts.add(length)
    law = fit_law(counts.depth, subject.chunk)
    for length in sorted(set(timesteps) - counts.depth.keys()):
        # Where no shorter one runs, nothing tells how long this one takes.
        if law.at(length) is None and counts.allows(length) and (counts.depth or length <= _ALONE):
            counts.add(length)
    source: Literal["shapes", "step"] = "step" if subject.real else "shapes"
    return {t: depth_law(counts.counted(), t, source) for t in timesteps}
