"""Sequences of a batch in a list, each as long as it is: ``[T1, F], [T2, F], …``, lists of numbers.

A collate function that pads nothing gives them so, and the model packs or pads them itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from seqprof.workloads.structures import Path, children, rebuilt


def lengths_of(value: Any) -> list[int] | None:
    """Return how long each sequence in a list or a tuple is; None where it holds something else."""
    if type(value) not in (list, tuple) or len(value) < 2:
        return None
    if all(isinstance(part, Tensor) and part.dim() for part in value):
        alike = {(part.dtype, part.shape[1:]) for part in value}
        return [len(part) for part in value] if len(alike) == 1 else None
    if all(_is_row_of_numbers(part) for part in value):
        return [len(part) for part in value]
    return None


def _is_row_of_numbers(part: Any) -> bool:
    return type(part) is list and bool(part) and all(type(one) in (int, float) for one in part)


def find_ragged(inputs: Any, targets: Any) -> Path | None:
    """Return where the sequences of a batch stand as a list, as ``("inputs", "x")``, if they do.

    There are as many of them as of the targets, or of what stands beside them.
    """
    for path, value, beside in _lists(inputs, ("inputs",), [targets]):
        if max(lengths_of(value) or [0]) > 1 and len(value) in {_count(one) for one in beside}:
            return path
    return None


def _lists(value: Any, path: Path, beside: list[Any]) -> Iterator[tuple[Path, Any, list[Any]]]:
    if lengths_of(value) is not None:
        yield path, value, beside
    inside = children(value) or []
    for key, part in inside:
        others = [other for name, other in inside if name != key]
        yield from _lists(part, (*path, key), others)


def _count(value: Any) -> int | None:
    sized = isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.dim() > 0)
    return len(value) if sized else None


def cut_ragged(value: Any, lengths: list[int], start: int, stop: int) -> Any:
    """Return ``value`` with timesteps ``start`` to ``stop`` of all lists of sequences so long."""
    if lengths_of(value) == lengths:
        return type(value)(part[start:stop] for part in value)
    inside = children(value)
    if inside is None:
        return value
    return rebuilt(value, [(key, cut_ragged(part, lengths, start, stop)) for key, part in inside])
