"""T of recurrences in plain tensor operations: no module is called once a timestep."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from watched_loops import loader, watched

from seqprof.attach.exploring.graph import repeated_use

T = 11


def weights(*shape: int) -> torch.Tensor:
    return (torch.randn(*shape) * 0.1).requires_grad_()


def last_state(x: torch.Tensor) -> torch.Tensor:
    """Nothing is stacked: only the last state goes on."""
    w, u = weights(3, 5), weights(5, 5)
    h = x.new_zeros(x.size(0), 5)
    for part in x.unbind(1):
        h = torch.tanh(part @ w + h @ u)
    return h


def gates(x: torch.Tensor) -> torch.Tensor:
    """``F.linear`` transposes its weight in each call; the state is used five times."""
    w, u, out = weights(15, 3), weights(15, 5), weights(2, 5)
    h, outputs = x.new_zeros(x.size(0), 5), []
    for part in x.unbind(1):
        a, b = F.linear(part, w), F.linear(h, u)
        r, z = torch.sigmoid(a[:, :10] + b[:, :10]).chunk(2, 1)
        h = (1 - z) * torch.tanh(a[:, 10:] + r * b[:, 10:]) + z * h
        outputs.append(h)
    return torch.stack(outputs, 1) @ out.T


def twice_a_timestep(x: torch.Tensor) -> torch.Tensor:
    u, out = weights(3, 3), weights(2, 3)
    h, outputs = x.new_zeros(x.size(0), 3), []
    for part in x.unbind(1):
        h = torch.tanh(torch.tanh((part + h) @ u) @ u)
        outputs.append(h)
    return torch.cat(outputs) @ out.T


@pytest.mark.parametrize("recurrence", [last_state, gates, twice_a_timestep])
def test_weights_are_used_once_a_timestep(
    recurrence: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    assert repeated_use(recurrence(torch.randn(4, T, 3)).square().mean()) == T


def test_layers_that_are_no_recurrence_have_weights_of_their_own() -> None:
    h = torch.randn(4, 8)
    for _ in range(12):
        h = torch.tanh(h @ weights(8, 8))
    assert repeated_use(h.sum()) is None


def functional(x: torch.Tensor, w: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    h, outputs = x.new_zeros(x.size(0), 6), []
    for part in x.unbind(1):
        h = torch.tanh(part @ w + h @ u)
        outputs.append(h)
    return torch.stack(outputs, 1)


def test_a_loop_without_modules_has_its_timesteps() -> None:
    def run() -> None:
        w, u = weights(4, 6), weights(6, 6)
        optimizer = torch.optim.SGD([w, u], 0.1)
        for (x,) in loader():
            optimizer.zero_grad()
            loss: Any = functional(x, w, u).square().mean()
            loss.backward()
            optimizer.step()

    loop, trial = watched(run)
    assert {iteration.timesteps for iteration in loop.iterations} == {(7,)}
    assert loop.timesteps_source == "counted from operations that repeat"
    assert "forward" not in loop.iterations[5].phases_s
    assert trial.timesteps_reason == "no module is called once per timestep"


class Unrolled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.u = nn.Parameter(weights(4, 6)), nn.Parameter(weights(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional(x, self.w, self.u)


def test_a_module_that_unrolls_operations_has_the_timesteps_of_each_step() -> None:
    lengths = [5 + index % 4 for index in range(12)]

    def run() -> None:
        model: Any = Unrolled()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for length in lengths:
            optimizer.zero_grad()
            model(torch.randn(3, length, 4)).square().mean().backward()
            optimizer.step()

    loop, _ = watched(run)
    assert [iteration.timesteps for iteration in loop.iterations] == [(n,) for n in lengths]
    assert loop.timesteps_source == "dimension 1 of argument 0 of the model's call"
