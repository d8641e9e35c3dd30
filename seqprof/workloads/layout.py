"""Where batch and time are in the tensors of a batch, and how a stretch of time is cut out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqprof.workloads.structures import Path, map_leaves


@dataclass(frozen=True, slots=True)
class Layout:
    """Where T and B of a batch are read from.

    Attributes:
        source: place of the tensor that has them, as ``("inputs", "obs")``.
        time_dim: its dimension of time.
        batch_dim: its dimension of sequences; None where it is one sequence.
        lengths: place of the tensor ``[B]`` that holds the lengths, within the inputs or targets;
            None where there is none or it is not known.
        by_rank: whether a target has a time axis is told by its rank (integers ``[B, T]``, floats
            ``[B, T, F]``), as in built-in data; otherwise by its sizes.
        ragged: whether ``source`` is a list of B sequences, each as long as it is.
    """

    source: Path = ("inputs",)
    time_dim: int = 1
    batch_dim: int | None = 0
    lengths: Path | None = None
    by_rank: bool = True
    ragged: bool = False

    @property
    def in_words(self) -> str:
        """``[B, T]``, ``[T, B]``, ``[B, ·, T]`` …: what the dimensions mean."""
        names = {self.time_dim: "T", self.batch_dim: "B"}
        last = max(self.time_dim, -1 if self.batch_dim is None else self.batch_dim)
        return f"[{', '.join(names.get(dim, '·') for dim in range(last + 1))}]"


#: Of built-in data, and of a seqprof ``Batch`` that says nothing else.
BATCH_FIRST = Layout()


@dataclass(frozen=True, slots=True)
class Located:
    """Where T is, and how sure that is.

    Attributes:
        layout: what T and B are read from.
        words: T, where it stands, and from what it is known.
        doubt: what speaks for another reading, and what that would be; None where nothing does.
        assumed: whether nothing speaks for this one but custom.
    """

    layout: Layout
    words: str
    doubt: str | None = None
    assumed: bool = False


def other_dim(time_dim: int, rank: int) -> int | None:
    """Return the dimension of sequences that goes with ``time_dim``: the first other one."""
    if rank < 2:
        return None
    return 1 if time_dim == 0 else 0


def read_sizes(leaf: Any, layout: Layout) -> tuple[int, int]:
    """Return T and B of the tensor (packed sequence, list of sequences) that has them.

    Raises:
        IndexError: the tensor has too few dimensions.
    """
    if isinstance(leaf, PackedSequence):
        return len(leaf.batch_sizes), int(leaf.batch_sizes[0])
    if layout.ragged:
        return max(map(len, leaf)), len(leaf)
    batch = 1 if layout.batch_dim is None else leaf.shape[layout.batch_dim]
    return leaf.shape[layout.time_dim], batch


@dataclass(frozen=True, slots=True)
class Axes:
    """The dimensions of one tensor that run along time, and along the sequences.

    Attributes:
        time: several for a mask ``[T, T]``.
        batch: None where it has none.
        flat: its first dimension is B·T (or T·B) in one.
    """

    time: tuple[int, ...] = ()
    batch: int | None = None
    flat: bool = False


def find_axes(tensor: Tensor, timesteps: int, batch_size: int, layout: Layout) -> Axes:
    """Tell which dimensions of any tensor of a batch run along time, by their sizes."""
    shape, time, batch = tensor.shape, layout.time_dim, layout.batch_dim
    if len(shape) > time and shape[time] == timesteps and _has_batch(shape, batch, batch_size):
        axes: tuple[int, ...] = (time,)
        if tensor.dtype == torch.bool:  # a mask [B, T, T]
            axes = tuple(d for d, n in enumerate(shape) if n == timesteps and d != batch)
        return Axes(axes, batch)
    own = 0 if shape and shape[0] == batch_size and batch_size != timesteps else None
    if timesteps != batch_size:
        along_time = tuple(d for d, n in enumerate(shape) if n == timesteps)
        square = len(along_time) == 2 and (len(shape) == 2 or along_time[0] + 1 == along_time[1])
        if along_time:
            return Axes(along_time if square else along_time[:1], own)
    if batch is not None and shape and timesteps > 1 and shape[0] == timesteps * batch_size:
        return Axes((0,), 0, flat=batch_size > 1)
    if own is None and shape and shape[0] == batch_size:
        own = 0
    return Axes((), own)


def _has_batch(shape: torch.Size, batch: int | None, size: int) -> bool:
    return batch is None or (len(shape) > batch and shape[batch] == size)


def cut(
    value: Any,
    place: Path,
    layout: Layout,
    sizes: tuple[int, int],
    start: int,
    stop: int,
) -> Any:
    """Return timesteps ``start`` to ``stop`` of every tensor in ``value`` that has them.

    Views in built-in data; of the user's, what is contiguous stays so, by a copy where it must.

    Args:
        value: a structure of tensors, at ``place`` in the batch.
        sizes: T and B of the whole batch.

    Raises:
        ValueError: a packed sequence is to be cut elsewhere than at its end.
    """

    def one(path: Path, leaf: Any) -> Any:
        if path == layout.lengths:
            return (leaf - start).clamp(0, stop - start)
        if isinstance(leaf, PackedSequence):
            return _cut_packed(leaf, start, stop)
        return _cut_tensor(leaf, layout, sizes, start, stop) if isinstance(leaf, Tensor) else leaf

    return map_leaves(one, value, place)


def _cut_tensor(
    tensor: Tensor, layout: Layout, sizes: tuple[int, int], start: int, stop: int
) -> Tensor:
    timesteps, batch_size = sizes
    axes = find_axes(tensor, timesteps, batch_size, layout)
    if axes.flat:
        return _unflattened(tensor, layout, sizes, start, stop)
    part = tensor
    for axis in axes.time:
        part = part.narrow(axis, start, stop - start)
    # The user's code may call `view` on it, as on the whole.
    return part.contiguous() if tensor.is_contiguous() and not layout.by_rank else part


def _unflattened(
    tensor: Tensor, layout: Layout, sizes: tuple[int, int], start: int, stop: int
) -> Tensor:
    """Cut ``[B·T, …]`` or ``[T·B, …]``, in the order that the inputs have."""
    time_first = layout.batch_dim is not None and layout.time_dim < layout.batch_dim
    order = sizes if time_first else sizes[::-1]
    whole = tensor.reshape(*order, *tensor.shape[1:])
    return whole.narrow(0 if time_first else 1, start, stop - start).flatten(0, 1)


def _cut_packed(packed: PackedSequence, start: int, stop: int) -> PackedSequence:
    if start:
        raise ValueError("a packed sequence cannot be cut into chunks")
    sizes = packed.batch_sizes[:stop]
    return PackedSequence(
        packed.data[: int(sizes.sum())], sizes, packed.sorted_indices, packed.unsorted_indices
    )


def reshaped(
    value: Any, place: Path, layout: Layout, sizes: tuple[int, int], wanted: tuple[int, int]
) -> Any:
    """Return ``value`` on the meta device, its tensors sized for another T and B.

    Args:
        sizes: T and B that it has; ``wanted``: those that it shall have.

    Raises:
        ValueError: it holds a packed sequence, which cannot be without values.
    """

    def one(path: Path, leaf: Any) -> Any:
        if path == layout.lengths:
            return torch.full((wanted[1],), wanted[0], dtype=leaf.dtype, device="cpu")
        if not isinstance(leaf, Tensor):
            raise ValueError("a packed sequence has no shape alone")
        axes = find_axes(leaf, *sizes, layout)
        shape = list(leaf.shape)
        if axes.batch is not None:
            shape[axes.batch] = wanted[1]
        for axis in axes.time:
            shape[axis] = wanted[0] * (wanted[1] if axes.flat else 1)
        return torch.empty(shape, dtype=leaf.dtype, device="meta")

    return map_leaves(one, value, place)


def with_source(layout: Layout, source: Path, time_dim: int, batch_dim: int | None) -> Layout:
    """Return ``layout`` with T and B read elsewhere."""
    return replace(layout, source=source, time_dim=time_dim, batch_dim=batch_dim)
