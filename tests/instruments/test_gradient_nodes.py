"""The node of a call that runs last in the backward, found once and then by the way to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.checkpoint import checkpoint

from seqprof.instruments.gradient_nodes import LastNode, first_tensor, sequence_number

WIDTH = 4


class _Branches(nn.Module):
    """Goes one of two ways, of different depth, that take the state or the input first."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.long = False

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        if self.long:
            h = torch.tanh(self.far(h) * torch.sigmoid(self.near(x))) + self.near(h)
        else:
            h = self.near(x) + h
        return h


class _Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        state: Tensor = checkpoint(self.cell, x, h, use_reentrant=False)
        return state * 2


def _order_of(output: Tensor, before: int) -> list[Node]:
    """The nodes of the call in the order in which the backward runs them."""
    ran: list[Node] = []
    nodes, pending = {output.grad_fn}, [output.grad_fn]
    while pending:
        node = pending.pop()
        assert node is not None
        node.register_hook(lambda _in, _out, node=node: ran.append(node))
        for parent, _ in node.next_functions:
            if parent is None or parent in nodes or hasattr(parent, "variable"):
                continue
            if parent._sequence_nr() >= before:
                nodes.add(parent)
                pending.append(parent)
    output.square().sum().backward()  # type: ignore[no-untyped-call]
    return ran


@pytest.mark.parametrize(
    "cell", [lambda: nn.LSTMCell(WIDTH, WIDTH), lambda: nn.GRUCell(WIDTH, WIDTH), _Checkpointed,
             _Branches],
    ids=["lstm", "gru", "checkpointed", "branches"],
)  # fmt: skip
def test_it_runs_after_all_others_of_the_call(cell: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module, last = cell(), LastNode()
    state = torch.randn(2, WIDTH, requires_grad=True)
    for step in range(4):
        if isinstance(module, _Branches):
            module.long = step % 2 == 1  # the way learned before leads elsewhere, or nowhere
        h = state * 1.0
        before = sequence_number()
        inputs = torch.randn(2, WIDTH)
        output = module(inputs, (h, h) if isinstance(module, nn.LSTMCell) else h)
        tensor = first_tensor(output)
        assert tensor is not None
        node = last.of(tensor, before)
        ran = _order_of(tensor, before)
        assert len(ran) > 1
        assert ran[-1] is node


def test_what_the_call_was_given_is_none_of_its_nodes() -> None:
    before = sequence_number()
    earlier = torch.ones(3, requires_grad=True) * 2
    number = sequence_number()
    output = earlier + 1
    assert LastNode().of(output, number) is output.grad_fn
    assert LastNode().of(output, before) is earlier.grad_fn
