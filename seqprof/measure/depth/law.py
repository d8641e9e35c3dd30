"""Depth and work of a model at the T that it trains with, for `run`, `compare` and `scale`.

Short lengths are recorded, and their law tells the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from seqprof.analysis.depth.laws import fit_law
from seqprof.analysis.depth.recorded_law import depth_law
from seqprof.measure.depth.counted import is_settled, law_lengths, points_of, record
from seqprof.measure.depth.subjects import Subject, meta_copy, training_step
from seqprof.measure.faults import reason_of
from seqprof.recording import CountedDepth, DepthLaw
from seqprof.spec import TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.losses import Loss
from seqprof.workloads.own_step import StepFunction

#: Processor seconds that depth may take before it does without further lengths.
BUDGET_S = 3.0


def depth_at_lengths(
    model: nn.Module,
    loss: Loss,
    train: TrainSpec,
    template: Batch,
    timesteps: Sequence[int],
    budget_s: float = BUDGET_S,
    own_step: StepFunction | None = None,
) -> tuple[DepthLaw, ...]:
    """Return depth and work at each T, by their laws, from a meta copy of ``model``.

    Args:
        template: a batch as the model gets it; its values are not used.
        timesteps: T that depth and work are wanted for.
        budget_s: about how much processor time it may take.
        own_step: the user's own training step, in place of forward and loss.

    Never raises for what the model does: the reason is in the result.
    """
    truncate = train.bptt.truncate
    try:
        copied = meta_copy(model)
        batch_size = template.batch_size
        step = training_step(
            copied, loss, train, lambda t: template.without_values(t, batch_size), own_step
        )
        subject = Subject("the model", "", copied, step, batch_size, train, truncate=truncate)
        laws: dict[int, DepthLaw] = {}
        # T up to one chunk of truncated BPTT has another law than a longer one.
        short = [t for t in timesteps if truncate is None or t <= truncate]
        whole = [t for t in timesteps if truncate is not None and t > truncate and not t % truncate]
        if short:
            laws |= _tell(replace(subject, truncate=None), short, budget_s)
        if whole:
            laws |= _tell(subject, whole, budget_s)
    except Exception as error:
        reason = reason_of(error)
        return tuple(DepthLaw(timesteps=t, reason=reason) for t in timesteps)
    reason = f"T is no multiple of train.bptt.truncate ({truncate}): the law is for whole chunks"
    return tuple(laws.get(t) or DepthLaw(timesteps=t, reason=reason) for t in timesteps)


class _Counts:
    """Work and depth by T, and how long recording them has taken."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._timed = 0
        self._spent_s = 0.0
        self.work: dict[int, int] = {}
        self.depth: dict[int, int] = {}

    def add(self, timesteps: int) -> None:
        first = not self.depth
        # Processor time: how busy the machine is must not decide what is found.
        started = time.process_time()
        graph = record(self._subject, timesteps)
        for length, point in points_of(self._subject, graph, timesteps).items():
            self.work[length] = point.step.work_ops
            self.depth[length] = point.step.depth_ops
        if not first:  # torch imports parts of itself at the first
            self._timed += timesteps
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

    def total_s(self, timesteps: int) -> float:
        """Return about how long all takes when ``timesteps`` are recorded as well, at most."""
        return self._spent_s * (1 + timesteps / max(1, self._timed))


def _tell(subject: Subject, timesteps: Sequence[int], budget_s: float) -> dict[int, DepthLaw]:
    """Record the law's lengths; those that it says nothing about as well, if quick."""
    counts = _Counts(subject)
    for length in law_lengths(subject, max(timesteps)):
        if counts.total_s(length) > budget_s / 2 or is_settled(counts.depth):
            break
        counts.add(length)
    law = fit_law(counts.depth, subject.chunk)
    for length in sorted(set(timesteps) - counts.depth.keys()):
        if law.at(length) is None and counts.total_s(length) < budget_s:
            counts.add(length)
    return {t: depth_law(counts.counted(), t) for t in timesteps}
