"""Where the forward of a model that is called once a timestep ends."""

from time import sleep
from typing import Any

import pytest
import torch
from torch import nn
from watched_loops import batches, counts, watched

PAUSE_S = 0.02


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.cell(x, h)
        return self.head(h), h


@pytest.mark.parametrize("of", ["outputs", "losses"])
def test_only_what_the_model_returned_ends_its_forward(of: str) -> None:
    def run() -> None:
        policy = Policy()
        optimizer = torch.optim.SGD(policy.parameters(), 0.1)
        for x in batches():
            h, parts = torch.zeros(5, 8), []
            for part in x.unbind(1):
                output, h = policy(part, h)
                parts.append(output if of == "outputs" else output.square())
            sleep(PAUSE_S)
            joined = torch.stack(parts)
            optimizer.zero_grad()
            loss: Any = joined.square().mean()
            loss.backward()
            optimizer.step()

    before = torch.stack, torch.cat
    loop, _ = watched(run)
    assert (torch.stack, torch.cat) == before
    assert counts(loop) == (12, 12, 12, 0)
    phase = "forward" if of == "outputs" else "loss"
    for iteration in loop.iterations[3:]:
        assert iteration.phases_s[phase] >= PAUSE_S
