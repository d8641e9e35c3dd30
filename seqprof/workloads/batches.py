"""Batches, and what a model must know of where they come from; the sources are in ``data/``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqprof.workloads.layout import (
    BATCH_FIRST,
    Layout,
    Located,
    cut,
    find_axes,
    read_sizes,
    reshaped,
)
from seqprof.workloads.ragged import cut_ragged
from seqprof.workloads.structures import leaf_at, to_device

#: Target of a timestep that does not count (``torch.nn.functional.cross_entropy``'s default).
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that are trained on at once.

    A ``data.target`` may yield it, to say what a tuple cannot. Built-in data have inputs ``[B, T]``
    int64 or ``[B, T, F]`` float32, and targets int64 ``[B, T]`` or ``[B]``, float32 ``[B, T, F']``
    or ``[B, F']``.

    Attributes:
        inputs: a tensor, a packed sequence, or tensors in any container, as the model takes them.
        targets: likewise, as the loss takes them; None where there are none. Integer targets of
            :data:`IGNORED` do not count in the losses that seqprof brings.
        lengths: ``[B]`` integers on the CPU, in no order; None where all have T timesteps.
        packed: whether built-in recurrent layers leave the padding out.
        layout: where T and B are.
        padding_known: whether ``lengths`` of None means that there is no padding.
        as_it_came: whether ``inputs`` is all that the user's data yielded, for ``train.step``.
    """

    inputs: Any
    targets: Any = None
    lengths: Tensor | None = None
    packed: bool = False
    layout: Layout = BATCH_FIRST
    padding_known: bool = True
    as_it_came: bool = False

    @property
    def sizes(self) -> tuple[int, int]:
        """T and B."""
        return read_sizes(self._source, self.layout)

    @property
    def _source(self) -> Any:
        """What T and B are read from."""
        source = self.layout.source
        if source == ("inputs",):
            return self.inputs
        return leaf_at(getattr(self, str(source[0])), source[1:])

    @property
    def batch_size(self) -> int:
        return self.sizes[1]

    @property
    def timesteps(self) -> int:
        return self.sizes[0]

    @property
    def has_target_per_timestep(self) -> bool:
        """Whether the targets, one tensor, have a time axis."""
        targets = self.targets
        if not isinstance(targets, Tensor):
            return False
        if self.layout.by_rank:
            return targets.dim() == (3 if targets.is_floating_point() else 2)
        return bool(find_axes(targets, *self.sizes, self.layout).time)

    @property
    def positions(self) -> int:
        """Timesteps computed: B·T; in recurrent layers, packed, only those that are not padding."""
        if self.packed and self.lengths is not None:
            return int(self.lengths.sum())
        if isinstance(self.inputs, PackedSequence):
            return len(self.inputs.data)
        if self.layout.ragged:
            return sum(map(len, self._source))
        timesteps, batch_size = self.sizes
        return batch_size * timesteps

    @property
    def padded_positions(self) -> int | None:
        """Of :attr:`positions`, those that are padding; None where that is not known."""
        if isinstance(self.inputs, PackedSequence) or self.layout.ragged:
            return 0
        if self.lengths is None:
            return 0 if self.padding_known else None
        return self.positions - int(self.lengths.sum())

    def read_as(self, layout: Layout) -> Batch:
        """Return the batch with T, B and the lengths read where ``layout`` has them."""
        lengths, at = self.lengths, layout.lengths
        if at != self.layout.lengths:
            lengths = None if at is None else leaf_at(getattr(self, str(at[0])), at[1:]).cpu()
        return replace(self, layout=layout, lengths=lengths)

    def prefix(self, timesteps: int) -> Batch:
        """Return the first ``timesteps`` of every sequence."""
        return self.chunk(0, timesteps)

    def chunk(self, start: int, stop: int) -> Batch:
        """Return timesteps ``start`` to ``stop`` of every sequence, for truncated BPTT.

        Targets without a time axis stay, save that a class whose sequence has ended before
        ``start`` becomes :data:`IGNORED`.

        Raises:
            ValueError: not 0 <= start < stop <= T, or a packed sequence cut before its end.
        """
        sizes = self.sizes
        if not 0 <= start < stop <= sizes[0]:
            raise ValueError(f"timesteps {start} to {stop} of {sizes[0]}")
        if self.layout.ragged:
            each = [len(part) for part in self._source]
            parts = (cut_ragged(one, each, start, stop) for one in (self.inputs, self.targets))
            return replace(self, **dict(zip(("inputs", "targets"), parts, strict=True)))
        lengths = None
        if self.lengths is not None:
            lengths = (self.lengths - start).clamp(0, stop - start)
        inputs = cut(self.inputs, ("inputs",), self.layout, sizes, start, stop)
        targets = self.targets
        if not self.layout.by_rank or self.has_target_per_timestep:
            targets = cut(targets, ("targets",), self.layout, sizes, start, stop)
        elif start and lengths is not None and not targets.is_floating_point():
            targets = targets.masked_fill((lengths == 0).to(targets.device), IGNORED)
        return replace(self, inputs=inputs, targets=targets, lengths=lengths)

    def without_values(self, timesteps: int, batch_size: int) -> Batch:
        """Return a batch of shapes alone (meta device), ``batch_size`` by ``timesteps``.

        Raises:
            ValueError: it holds a packed sequence, or its sequences stand in a list.
        """
        if self.layout.ragged:
            raise ValueError("sequences in a list have no shape alone")
        sizes, wanted = self.sizes, (timesteps, batch_size)
        targets = self.targets
        layout = self.layout
        if layout.by_rank and isinstance(targets, Tensor):
            along = (timesteps,) if self.has_target_per_timestep else ()
            shape = (batch_size, *along, *targets.shape[1 + len(along) :])
            targets = torch.empty(shape, dtype=targets.dtype, device="meta")
        else:
            targets = reshaped(targets, ("targets",), layout, sizes, wanted)
        inputs = reshaped(self.inputs, ("inputs",), layout, sizes, wanted)
        lengths = None
        if self.lengths is not None and not layout.by_rank:
            lengths = torch.full((batch_size,), timesteps, dtype=self.lengths.dtype, device="cpu")
        return replace(self, inputs=inputs, targets=targets, lengths=lengths, packed=False)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on ``device``.

        Lengths stay on the CPU, where packing needs them; a user's own step gets all on the device.
        """
        if _is_on(self.inputs, device) and _is_on(self.targets, device):
            return self  # nothing may be added to the step of a training on the processor
        but = None if self.as_it_came else self.layout.lengths
        parts = {"inputs": self.inputs, "targets": self.targets}
        return replace(self, **to_device(parts, device, non_blocking, but))


def _is_on(value: Any, device: torch.device | str) -> bool:
    return isinstance(value, Tensor) and value.device == device


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a model must know of its data.

    Attributes:
        description: where the batches come from, in words.
        vocabulary: number of input tokens; None for numeric inputs.
        features: numeric inputs per timestep; None for tokens.
        classes: number of target classes; None for numeric targets.
        outputs: numbers to predict; None for classes.
        per_timestep: whether every timestep has a target, or the sequence has one.
        located: where T is in a user's data and from what that is known; None where the data make
            it so, or only the user's model can tell.
    """

    description: str
    vocabulary: int | None = None
    features: int | None = None
    classes: int | None = None
    outputs: int | None = None
    per_timestep: bool = True
    located: Located | None = None


class Data(Protocol):
    """Endless batches on the CPU; every ``iter`` starts the same sequence again."""

    facts: DataFacts

    def __iter__(self) -> Iterator[Batch]: ...
