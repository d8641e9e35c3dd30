"""What counts as a launched operation."""

from __future__ import annotations

import torch
from torch import nn

from seqprof.instruments.operations import OperationCounter


def test_views_and_allocations_launch_nothing() -> None:
    x = torch.ones(4, 6)
    with OperationCounter() as counter:
        x.view(6, 4).t()[0].unbind()
        torch.empty(3)
        x.unsqueeze(0).expand(2, 4, 6)
        x.unsafe_chunk(2, 1)
    assert counter.count == 0


def test_each_computation_counts_once_in_place_or_not() -> None:
    x = torch.ones(4, 6)
    with OperationCounter() as counter:
        y = x + 1
        y.mul_(2)
        torch.mm(y, x.t())
    assert counter.count == 3


def test_the_backward_is_counted() -> None:
    layer, x = nn.Linear(3, 3), torch.ones(2, 3)
    with OperationCounter() as counter:
        loss = layer(x).sum()
        forward = counter.count
        loss.backward()
    assert forward == 2
    assert counter.count > forward
