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


def last_nodes(tensor: Tensor, sequence_number: int) -> list[Node]:
    """The autograd nodes behind ``tensor``, made since then, of which one is the last to run.

    These are the nodes that hand their gradients to older nodes and leaves only.
    """
    assert tensor.grad_fn is not None
    pending, seen, last = [tensor.grad_fn], {tensor.grad_fn}, []
    while pending:
        node = pending.pop()
        inner = [
            parent
            for parent, _ in node.next_functions
            # A leaf's accumulator is the one node that knows a `variable`.
            if parent is not None
            and not hasattr(parent, "variable")
            and parent._sequence_nr() >= sequence_number
        ]
        if not inner:
            last.append(node)
        pending.extend(parent for parent in inner if parent not in seen)
        seen.update(inner)
    return last
