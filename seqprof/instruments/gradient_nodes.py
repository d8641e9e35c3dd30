"""Where the backward of a module's call begins and ends in autograd's graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor with a gradient in a module's output: h of an LSTM cell's ``(h, c)``."""
    return next(tensors_of(output), None)


def tensors_of(output: Any) -> Iterator[Tensor]:
    """The tensors with a gradient in a module's output, in order."""
    if isinstance(output, Tensor):
        if output.grad_fn is not None:
            yield output
    elif not isinstance(output, (str, bytes)):  # a letter is a string of letters again
        if isinstance(output, dict):
            output = output.values()
        if isinstance(output, (tuple, list)) or hasattr(output, "__iter__"):
            for item in output:
                yield from tensors_of(item)


def sequence_number() -> int:
    """Autograd's counter on this thread; nodes made from now on have this number or a higher one.

    torch has no public name for it; the nodes' own ``_sequence_nr`` is compared with it.
    """
    return int(torch._C._autograd._get_sequence_nr())


class LastNode:
    """Finds the node of a call that runs last in the backward, and remembers the way to it.

    Of what is ready autograd runs what was made last (``CompareNodeTaskTime`` in torch's
    autograd/engine.h), and a node is ready when all that hand it gradients have run, which were
    made after it. So of a call's nodes the first that was made runs last, on one device.
    """

    def __init__(self) -> None:
        self._way: tuple[int, ...] = ()
        self._number: int | None = None

    def of(self, tensor: Tensor, sequence_number: int) -> Node:
        """Return the node.

        Args:
            tensor: an output of the call, with a gradient.
            sequence_number: :func:`sequence_number` before the call.
        """
        assert tensor.grad_fn is not None
        if self._number is not None:
            node = self._at_end_of_way(tensor.grad_fn)
            if node is not None and node._sequence_nr() - sequence_number == self._number:
                return node
        return self._search(tensor.grad_fn, sequence_number)

    def _at_end_of_way(self, node: Node | None) -> Node | None:
        for turn in self._way:
            parents = () if node is None else node.next_functions
            if turn >= len(parents):
                return None
            node = parents[turn][0]
        return node

    def _search(self, root: Node, sequence_number: int) -> Node:
        ways: dict[Node, tuple[int, ...]] = {root: ()}
        pending = [root]
        while pending:
            node = pending.pop()
            for turn, (parent, _) in enumerate(node.next_functions):
                # A leaf's accumulator is the one node that knows a `variable`.
                if parent is None or parent in ways or hasattr(parent, "variable"):
                    continue
                if parent._sequence_nr() >= sequence_number:
                    ways[parent] = (*ways[node], turn)
                    pending.append(parent)
        first = min(ways, key=lambda node: node._sequence_nr())
        self._way, self._number = ways[first], first._sequence_nr() - sequence_number
        return first
