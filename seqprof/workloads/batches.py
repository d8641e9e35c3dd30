"""Batches, and where they come from. One file per source beside this one (``data_*.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from seqprof.spec import Spec

#: Target of a timestep that does not count (``torch.nn.functional.cross_entropy``'s default).
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences that are trained on at once.

    Attributes:
        inputs: ``[B, T]`` int64 tokens or ``[B, T, F]`` float32.
        targets: int64 ``[B, T]`` or ``[B]``, float32 ``[B, T, F']`` or ``[B, F']``. Integer targets
            of :data:`IGNORED` do not count.
        lengths: ``[B]`` int64 on the CPU, in no order; None where all have T timesteps.
        packed: whether recurrent layers leave the padding out.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    packed: bool = False

    @property
    def batch_size(self) -> int:
        return self.inputs.shape[0]

    @property
    def timesteps(self) -> int:
        return self.inputs.shape[1]

    @property
    def has_target_per_timestep(self) -> bool:
        return self.targets.dim() == (3 if self.targets.is_floating_point() else 2)

    @property
    def positions(self) -> int:
        """Timesteps computed: B·T; in recurrent layers, packed, only those that are not padding."""
        if self.packed and self.lengths is not None:
            return int(self.lengths.sum())
        return self.batch_size * self.timesteps

    @property
    def padded_positions(self) -> int:
        """Of :attr:`positions`, those that are padding."""
        return 0 if self.lengths is None else self.positions - int(self.lengths.sum())

    def prefix(self, timesteps: int) -> Batch:
        """Return the first ``timesteps`` of every sequence (views)."""
        return self.chunk(0, timesteps)

    def chunk(self, start: int, stop: int) -> Batch:
        """Return timesteps ``start`` to ``stop`` of every sequence (views), for truncated BPTT.

        Targets without a time axis stay, save that a class whose sequence has ended before
        ``start`` becomes :data:`IGNORED`.

        Raises:
            ValueError: not 0 <= start < stop <= T.
        """
        if not 0 <= start < stop <= self.timesteps:
            raise ValueError(f"timesteps {start} to {stop} of {self.timesteps}")
        lengths = None
        if self.lengths is not None:
            lengths = (self.lengths - start).clamp(0, stop - start)
        targets = self.targets
        if self.has_target_per_timestep:
            targets = targets[:, start:stop]
        elif start and lengths is not None and not targets.is_floating_point():
            targets = targets.masked_fill((lengths == 0).to(targets.device), IGNORED)
        return replace(self, inputs=self.inputs[:, start:stop], targets=targets, lengths=lengths)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on ``device``; lengths stay on the CPU, where packing needs them."""
        return replace(
            self,
            inputs=self.inputs.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )


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
    """

    description: str
    vocabulary: int | None = None
    features: int | None = None
    classes: int | None = None
    outputs: int | None = None
    per_timestep: bool = True


class Data(Protocol):
    """Endless batches on the CPU; every ``iter`` starts the same sequence again."""

    facts: DataFacts

    def __iter__(self) -> Iterator[Batch]: ...


def open_data(spec: Spec, folder: Path) -> Data:
    """Return what ``spec.data`` describes; paths and targets are relative to ``folder``.

    Raises:
        SeqprofError: it cannot be read, is too short, or does not suit the head.
    """
    if spec.data.target is not None:
        from seqprof.workloads.data_own import OwnData

        return OwnData(spec, folder)
    if spec.data.kind == "csv":
        from seqprof.workloads.data_csv import CsvData

        return CsvData(spec, folder)
    if spec.data.kind == "synthetic":
        from seqprof.workloads.data_synthetic import open_synthetic

        return open_synthetic(spec)
    from seqprof.workloads.data_text import open_text

    return open_text(spec, folder)
