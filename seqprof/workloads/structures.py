"""Tensors in nested containers: what a batch, and what a model returns, is made of.

Containers are mappings, tuples, named tuples, lists, dataclasses and objects with tensors as
attributes, nested as deep as one likes. A ``PackedSequence`` is one value, not a container.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

#: Where a value stands in a structure: keys, indices and names of fields.
Path: TypeAlias = "tuple[str | int, ...]"
#: Values that are not looked into.
Leaf: TypeAlias = "Tensor | PackedSequence"
LEAVES = (Tensor, PackedSequence, np.ndarray)


def is_namedtuple(value: object) -> bool:
    """Whether ``value`` is a tuple whose items have names."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def children(value: object) -> list[tuple[str | int, Any]] | None:
    """Return what ``value`` contains, each with its key; None where it is no container."""
    if isinstance(value, (Tensor, PackedSequence, np.ndarray, str, bytes, nn.Module, type)):
        return None
    if isinstance(value, Mapping):
        return list(value.items())
    if is_namedtuple(value):
        return list(value._asdict().items())  # type: ignore[attr-defined]
    if isinstance(value, (tuple, list)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and any(isinstance(v, LEAVES) for v in attributes.values()):
        return list(attributes.items())
    return None


def named_parts(value: object) -> dict[str, Any] | None:
    """Return what a mapping, a named tuple, a dataclass or an object has by name, else None."""
    inside = children(value)
    if inside is None or (isinstance(value, (tuple, list)) and not is_namedtuple(value)):
        return None
    return {str(key): part for key, part in inside}


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """Yield every tensor and packed sequence in ``value`` with its place, in order."""
    if isinstance(value, (Tensor, PackedSequence)):
        yield path, value
        return
    for key, part in children(value) or ():
        yield from leaves(part, (*path, key))


def leaf_at(value: object, path: Path) -> Any:
    """Return what stands at ``path`` in ``value``.

    Raises:
        LookupError: nothing stands there.
    """
    for key in path:
        inside = dict(children(value) or ())
        if key not in inside:
            raise LookupError(in_words(path))
        value = inside[key]
    return value


def map_leaves(function: Callable[[Path, Any], Any], value: Any, path: Path = ()) -> Any:
    """Return ``value`` with ``function`` of its place and itself in place of every tensor.

    Packed sequences and numpy arrays are given to it as well. What else there is stays as it is,
    and so do the types of the containers.
    """
    if isinstance(value, LEAVES):
        return function(path, value)
    inside = children(value)
    if inside is None:
        return value
    return rebuilt(value, [(k, map_leaves(function, v, (*path, k))) for k, v in inside])


def rebuilt(value: Any, parts: list[tuple[str | int, Any]]) -> Any:
    """Return a container like ``value`` that holds ``parts``, by their keys."""
    if type(value) in (tuple, list):
        return type(value)(part for _, part in parts)
    if type(value) is dict:
        return dict(parts)
    if is_namedtuple(value):
        return value._replace(**{str(key): part for key, part in parts})
    if isinstance(value, list):
        return [part for _, part in parts]
    if isinstance(value, tuple):
        return tuple(part for _, part in parts)
    made = copy.copy(value)
    if isinstance(value, Mapping):
        try:
            for key, part in parts:
                made[key] = part
        except TypeError:  # a mapping that cannot be changed
            return dict(parts)
        return made
    for key, part in parts:  # past the setter of a frozen dataclass
        object.__setattr__(made, str(key), part)
    return made


def to_device(
    value: Any, device: torch.device | str, non_blocking: bool = False, but: Path | None = None
) -> Any:
    """Return ``value`` with all its tensors on ``device``, of the type they have.

    Numpy arrays become tensors, as a DataLoader makes them. A tensor that stands in several places
    is moved once.

    Args:
        but: place of a tensor that stays where it is.
    """
    moved: dict[int, Any] = {}

    def move(path: Path, leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            leaf = from_array(leaf)
        if path == but or not hasattr(leaf, "to"):
            return leaf
        if id(leaf) not in moved:
            moved[id(leaf)] = leaf.to(device, non_blocking=non_blocking)
        return moved[id(leaf)]

    return map_leaves(move, value)


def from_array(array: np.ndarray[Any, Any]) -> Any:
    """Return a tensor on the memory of ``array``; ``array`` itself where torch has no such type."""
    if array.dtype.kind not in "biufc":
        return array
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def in_words(path: Path) -> str:
    """Return ``path`` as one would write it: ``inputs['obs'][0]``."""
    first, *rest = path or ("batch",)
    return str(first) + "".join(f"[{key!r}]" for key in rest)


def shape_in_words(value: object) -> str:
    """Return type and shape of a tensor, or the kinds of what a container has."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, PackedSequence):
        return f"a packed sequence of {len(value.batch_sizes)} timesteps"
    inside = children(value)
    if value is None:
        return "None"
    if inside is None:
        return f"a {type(value).__name__}"
    if isinstance(value, (tuple, list)) and not is_namedtuple(value):
        return f"a {type(value).__name__} of {len(inside)}"
    return f"a {type(value).__name__} of {', '.join(str(key) for key, _ in inside) or 'nothing'}"
