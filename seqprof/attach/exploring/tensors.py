"""Look into the arguments of a foreign module's call without touching them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

#: Where a tensor stands in a call: keys into (args, kwargs).
Place = tuple[Any, ...]
#: Shapes of the tensors of a call, with their places.
Shapes = list[tuple[Place, tuple[int, ...]]]
#: Reads a size of a call's (args, kwargs).
ReadSize = Callable[[Any, Any], int]
#: How deep nested arguments are looked into, and how many tensors at most.
_DEEPEST, _MOST = 4, 24
#: Of a packed sequence: its data, batch sizes (T of them) and the order of its B sequences.
_OF_PACKED = 3
#: How far back in autograd's graph an earlier output is looked for: ``h * mask`` is one.
_NEAR = 3


def tensors(value: Any, place: Place = (), depth: int = 0) -> Iterator[tuple[Place, Tensor]]:
    """Yield the tensors in nested tuples, lists and dicts, with their places."""
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, PackedSequence):
        for index, item in enumerate(value[:_OF_PACKED]):
            if item is not None:
                yield (*place, index), item
    elif depth < _DEEPEST and isinstance(value, (tuple, list)):
        for index, item in enumerate(value[:_MOST]):
            yield from tensors(item, (*place, index), depth + 1)
    elif depth < _DEEPEST and isinstance(value, dict):
        for key in list(value)[:_MOST]:
            yield from tensors(value[key], (*place, key), depth + 1)


def shapes_of(placed: Iterable[tuple[Place, Tensor]]) -> Shapes:
    """Shapes of tensors, with their places."""
    return [(place, tuple(tensor.shape)) for place, tensor in placed]


class Where(NamedTuple):
    """A size of a call: that of a dimension of one of its arguments, and so many more."""

    place: Place
    dimension: int
    more: int = 0


def reader(where: Where) -> ReadSize:
    """Return a function of a call's (args, kwargs) that gives a size."""
    (side, *keys), dimension, more = where
    if side == 0 and len(keys) == 1:  # a positional tensor: what nearly every model takes
        index = keys[0]
        return lambda args, kwargs: int(args[index].shape[dimension]) + more

    def read(args: Any, kwargs: Any) -> int:
        value = args if side == 0 else kwargs
        for key in keys:
            value = value[key]
        return int(value.shape[dimension]) + more

    return read


def comes_from(tensor: Tensor, earlier: list[Tensor]) -> bool:
    """Whether ``tensor`` is one of ``earlier``, or made of one in a few operations."""
    if any(tensor is one for one in earlier):
        return True
    nodes = {one.grad_fn for one in earlier if one.grad_fn is not None}
    front = {tensor.grad_fn} - {None}
    for _ in range(_NEAR):
        if front & nodes:
            return True
        front = {parent for node in front if node for parent, _ in node.next_functions} - {None}
    return False


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether a call of ``module`` enters torch.compile: its inside must be left alone."""
    return (
        getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in module._modules
    )
