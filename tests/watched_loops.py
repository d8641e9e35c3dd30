"""Loops watched in this process, and what they are made of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import seqprof
from seqprof.recording import ForeignLoop, Trial


class Cells(nn.Module):
    """[B, T, 4] → [B, T, 4] by a cell called once a timestep."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, outputs = x.new_zeros(x.size(0), 8), []
        for part in x.unbind(1):
            h = self.cell(part, h)
            outputs.append(self.out(h))
        return torch.stack(outputs, 1)


def batches(count: int = 12, timesteps: int = 7) -> list[torch.Tensor]:
    return list(torch.randn(count, 5, timesteps, 4))


def loader(count: int = 12, **options: Any) -> "DataLoader[Any]":
    return DataLoader(TensorDataset(torch.randn(5 * count, 7, 4)), batch_size=5, **options)


def sgd(*models: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for model in models for p in model.parameters()], 0.1)


def train_step(model: Any, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    """One step of training on the square of what the model gives."""
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


def update(optimizer: torch.optim.Optimizer, loss: Any) -> None:
    """The rest of a step whose forward has been."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def watched(run: Callable[[], object], **options: Any) -> tuple[ForeignLoop, Trial]:
    """What is recorded of a loop that is built and run inside the block."""
    torch.manual_seed(0)
    with seqprof.profile(budget=10, **options) as p:
        run()
    trial = p.recording.trials[0]
    assert trial.loop is not None
    return trial.loop, trial


def counts(loop: ForeignLoop) -> tuple[int, int, int, int]:
    """Finished iterations, rounds, updates, skipped."""
    done = [iteration for iteration in loop.iterations if iteration.finished]
    return (
        len(done),
        sum(iteration.rounds for iteration in done),
        sum(iteration.updates for iteration in done),
        sum(iteration.skipped for iteration in done),
    )
