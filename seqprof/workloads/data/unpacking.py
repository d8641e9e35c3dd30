"""What the user's data yield → a :class:`~seqprof.workloads.batches.Batch`.

=================================  ==============================================================
yielded                            taken as
=================================  ==============================================================
a seqprof ``Batch``                itself
a mapping with inputs and targets  these, and ``lengths`` if it is there
another mapping; a named tuple, a  the inputs are all of it; targets what is called targets, labels,
dataclass … with such a field      y …; lengths what is called lengths, …_lengths, …_lens
``(inputs, targets)``              these; either may be a container itself
three or more items                by what the model's ``forward`` takes: its inputs first, then the
                                   targets; one item may be lengths ``[B]``
anything else                      inputs without targets
=================================  ==============================================================

With ``train.step`` nothing is taken apart: the function gets what was yielded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqprof.workloads.batches import Batch
from seqprof.workloads.layout import Layout
from seqprof.workloads.parameters import (
    Parameters,
    having,
    is_length_name,
    is_state_name,
    is_target_name,
)
from seqprof.workloads.structures import (
    Path,
    children,
    from_array,
    leaf_at,
    leaves,
    map_leaves,
    named_parts,
    shape_in_words,
)


class UnfitBatchError(Exception):
    """A batch that cannot be taken apart: what is wrong, and what would be right."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem, self.hint = problem, hint


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets the batches.

    Attributes:
        forward: what the model's ``forward`` takes; None where that is not known.
        whole: whether they are given as they come, to ``train.step``.
    """

    forward: Parameters | None = None
    whole: bool = False


def unpack(item: Any, recipient: Recipient) -> Batch:
    """Return ``item`` as a batch.

    Raises:
        UnfitBatchError: what is input and what is target cannot be told.
    """
    if isinstance(item, Batch):
        return item
    item = map_leaves(lambda _, leaf: _as_tensor(leaf), item)
    if recipient.whole:
        return _whole(item)
    if isinstance(item, Tensor | PackedSequence):
        return _batch(item, None)
    if isinstance(item, Mapping):
        return _from_mapping(item, dict(item))
    names = named_parts(item)
    if names and having(names, is_target_name):
        return _from_mapping(item, names)
    if isinstance(item, (tuple, list)):
        return _from_items(list(item), recipient.forward)
    if not any(True for _ in leaves(item)):
        raise UnfitBatchError(
            f"it is {shape_in_words(item)}, and no tensor is in it", _hint(recipient.forward)
        )
    return _batch(item, None)


def _as_tensor(leaf: Any) -> Any:
    return from_array(leaf) if isinstance(leaf, np.ndarray) else leaf


def _batch(
    inputs: Any, targets: Any, lengths: Tensor | None = None, lengths_at: Path | None = None
) -> Batch:
    layout = Layout(lengths=lengths_at, by_rank=False)
    return Batch(inputs, without_nones(targets), lengths, layout=layout, padding_known=False)


def without_nones(targets: Any) -> Any:
    """Return the one thing that is not None in a tuple such as ``(target, weight)``."""
    if type(targets) in (tuple, list):
        there = [part for part in targets if part is not None]
        if len(there) == 1 and len(targets) > 1:
            return there[0]
    return targets


def _whole(item: Any) -> Batch:
    place = find_lengths(item, ("inputs",))
    lengths = None if place is None else leaf_at(item, place[1:]).cpu()
    layout = Layout(lengths=place, by_rank=False)
    return Batch(item, None, lengths, layout=layout, padding_known=False, as_it_came=True)


def find_lengths(value: Any, place: Path) -> Path | None:
    """Return where the lengths of sequences stand in a structure that stands at ``place``.

    They are called so, or stand beside their sequences and fit them. Of several, those that fit a
    tensor beside them come first.
    """
    inside = children(value)
    if inside is None:
        return None
    parts = [part for _, part in inside]
    named = [i for i, (key, part) in enumerate(inside) if is_length_name(key) and _is_row(part)]
    if not named and isinstance(value, (tuple, list)):
        among = _lengths_among(parts)
        named = among if len(among) == 1 else []
    named.sort(key=lambda i: not _fits_some(parts[i], parts[:i] + parts[i + 1 :]))
    if named:
        return (*place, inside[named[0]][0])
    for key, part in inside:
        deeper = find_lengths(part, (*place, key))
        if deeper is not None:
            return deeper
    return None


def _is_row(part: Any) -> bool:
    return isinstance(part, Tensor) and looks_like_lengths(part)


def _from_mapping(mapping: Any, parts: dict[Any, Any]) -> Batch:
    if {"inputs", "targets"} <= parts.keys():
        lengths = parts.get("lengths")
        if lengths is not None:
            lengths = _lengths_given(lengths)
        return _batch(parts["inputs"], parts["targets"], lengths)
    names = having(parts, is_target_name)
    targets = parts[names[0]] if len(names) == 1 else {name: parts[name] for name in names} or None
    place = find_lengths(mapping, ("inputs",))
    if place is None:
        return _batch(mapping, targets)
    return _batch(mapping, targets, leaf_at(mapping, place[1:]).cpu(), place)


def _lengths_given(lengths: Any) -> Tensor:
    tensor = torch.as_tensor(lengths)
    if not looks_like_lengths(tensor):
        raise UnfitBatchError(
            f"lengths are {shape_in_words(tensor)}", "lengths are whole numbers, one a sequence"
        )
    return tensor.cpu()


def looks_like_lengths(tensor: Tensor) -> bool:
    """Whether it has the form of lengths: a row of whole numbers, none below zero."""
    if tensor.dim() != 1 or not len(tensor) or tensor.is_complex():
        return False
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        return False
    return int(tensor.min()) >= 0


def _from_items(items: list[Any], forward: Parameters | None) -> Batch:
    count = len(items)
    if count == 2:
        return _batch(items[0], items[1], *_lengths_within(items[0], forward))
    if count == 1:
        return _batch(items[0], None)
    if count == 0:
        raise UnfitBatchError("it has 0 items; expected 2: (inputs, targets)", _hint(forward))
    possible = _lengths_among(items)
    place = _place_asked_for_lengths(forward)
    if place is not None and possible:
        at = place if place in possible else possible[0] if len(possible) == 1 else None
        if at is not None:
            return _with_lengths(items, at)
    if forward is not None and _needed(forward) == count - 1:
        return _batch(tuple(items[:-1]), items[-1])
    if len(possible) == 1 and count == 3:
        return _with_lengths(items, possible[0])
    if forward is not None and _needed(forward) == count and is_target_name(forward.names[-1]):
        return _batch(tuple(items[:-1]), items[-1])
    raise UnfitBatchError(f"it has {count} items; expected 2: (inputs, targets)", _hint(forward))


def _lengths_within(inputs: Any, forward: Parameters | None) -> tuple[Tensor | None, Path | None]:
    """Return the lengths among several inputs, and their place.

    Those in a mapping are called so; those in a tuple are what ``forward`` takes as such.
    """
    if named_parts(inputs) is not None:
        place = find_lengths(inputs, ("inputs",))
        return (None, None) if place is None else (leaf_at(inputs, place[1:]).cpu(), place)
    at = _place_asked_for_lengths(forward)
    if at is None or type(inputs) not in (tuple, list) or at not in _lengths_among(inputs):
        return None, None
    return inputs[at].cpu(), ("inputs", at)


def _with_lengths(items: list[Any], at: int) -> Batch:
    rest = items[:at] + items[at + 1 :]
    inputs = rest[0] if len(rest) == 2 else tuple(rest[:-1])
    return _batch(inputs, rest[-1], items[at].cpu())


def _needed(forward: Parameters) -> int:
    """Inputs that ``forward`` must get by position: not its state, which is not data."""
    names = [n for n in forward.names if n in forward.required and not is_state_name(n)]
    return len(names)


def _place_asked_for_lengths(forward: Parameters | None) -> int | None:
    """Where ``forward`` takes the lengths by position; None where it asks for none."""
    if forward is None or forward.first(is_length_name) is None:
        return None
    at = [i for i, name in enumerate(forward.names) if is_length_name(name)]
    return at[0] if at else -1


def _lengths_among(items: Sequence[Any]) -> list[int]:
    """Return which items can be the lengths: the longest is as long as the padded sequences.

    Of several the one that fits the first item, since targets may have lengths as well.
    """
    places = [
        index
        for index, item in enumerate(items[1:], start=1)
        if isinstance(item, Tensor) and looks_like_lengths(item) and _fits_some(item, items)
    ]
    of_inputs = [index for index in places if _fits_some(items[index], items[:1])]
    return of_inputs if len(of_inputs) == 1 else places


def _fits_some(lengths: Tensor, items: Sequence[Any]) -> bool:
    """Whether a tensor in ``items`` has so many sequences, the longest as long as said."""
    longest, count = int(lengths.max()), len(lengths)
    for item in items:
        for _, leaf in leaves(item):
            sizes = list(leaf.shape[:3]) if isinstance(leaf, Tensor) else []
            if count in sizes[:2]:
                sizes.remove(count)
                if longest in sizes:
                    return True
    return False


def _hint(forward: Parameters | None) -> str:
    takes = f"the model's forward takes {forward.in_words}; " if forward is not None else ""
    return (
        f"{takes}give (inputs, targets), where the inputs may be a tuple or a dict; a dict or a "
        "seqprof Batch with inputs, targets and lengths; or set train.step to a function "
        "package.module:function(model, batch) -> loss, which takes any batch"
    )
