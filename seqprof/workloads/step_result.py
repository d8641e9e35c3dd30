"""What a training step did, and has done so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from seqprof.workloads.batches import Batch


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did; worked out only when it is asked for, after the step.

    Attributes:
        batches: the micro-batches, on the device.
        losses: of each chunk of each, a scalar on the device, detached, with its share of the step.
    """

    batches: tuple[Batch, ...]
    losses: tuple[tuple[Tensor, float], ...]

    @property
    def loss(self) -> Tensor:
        """Mean loss, a scalar on the device (reading it synchronizes)."""
        return torch.stack([loss * share for loss, share in self.losses]).sum()

    @property
    def timesteps(self) -> tuple[int, ...]:
        """T of each micro-batch."""
        return tuple(batch.timesteps for batch in self.batches)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """B of each micro-batch."""
        return tuple(batch.batch_size for batch in self.batches)

    @property
    def positions(self) -> int:
        """Timesteps computed, over all sequences."""
        return sum(batch.positions for batch in self.batches)

    @property
    def padded_positions(self) -> int | None:
        """Of :attr:`positions`, padding; None where that is not known."""
        padded = [batch.padded_positions for batch in self.batches]
        known = [count for count in padded if count is not None]
        return sum(known) if len(known) == len(padded) else None


class StepSoFar:
    """What a step has done so far: nothing that it need not know is worked out in it."""

    def __init__(self) -> None:
        self.losses: list[tuple[Tensor, float]] = []
        self._batches: list[Batch] = []
        self._timesteps = 0

    def begin(self, batch: Batch, timesteps: int) -> int:
        """Take in a micro-batch; returns the timesteps before it."""
        before = self._timesteps
        self._timesteps += timesteps
        self._batches.append(batch)
        return before

    def result(self) -> StepResult:
        return StepResult(tuple(self._batches), tuple(self.losses))
