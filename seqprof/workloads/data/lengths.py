"""How long the sequences of a batch are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import DataSpec
from seqprof.workloads.batches import IGNORED, Batch


class Lengths:
    """Draws the lengths of each batch's sequences.

    The longest sequence of a batch always has ``seq_len`` timesteps (the longest draw is made so
    long), so every batch has the same T and its padding is what padding to the longest costs.
    """

    def __init__(self, spec: DataSpec) -> None:
        lengths, longest = spec.lengths, spec.seq_len
        self.distribution, self.longest = lengths.distribution, longest
        self.packed = lengths.layout == "packed"
        self.shortest = lengths.minimum or max(1, longest // 8)
        self.mean = lengths.mean or (self.shortest + longest) / 2
        self.deviation = lengths.deviation or max(1.0, (longest - self.shortest) / 6)
        if self.distribution != "fixed" and self.shortest > longest:
            raise SeqprofError(
                f"data.lengths.minimum: {self.shortest} is more than data.seq_len ({longest})"
            )

    def draw(self, batch_size: int, generator: Generator) -> Tensor | None:
        """Return ``[B]`` int64, or None where all have T timesteps and nothing is packed."""
        if self.distribution == "fixed":
            return torch.full((batch_size,), self.longest) if self.packed else None
        if self.distribution == "uniform":
            drawn = torch.randint(
                self.shortest, self.longest + 1, (batch_size,), generator=generator
            )
        else:
            normal = torch.randn(batch_size, generator=generator)
            drawn = (self.mean + self.deviation * normal).round().long()
            drawn = drawn.clamp(self.shortest, self.longest)
        drawn[drawn.argmax()] = self.longest
        return drawn

    def describe(self) -> str:
        """Return e.g. ``T = 256`` or ``T = 32 to 256 (uniform, padded)``."""
        layout = "packed" if self.packed else "padded"
        if self.distribution == "fixed":
            return f"T = {self.longest}" + (" (packed)" if self.packed else "")
        how: str = self.distribution
        if how == "normal":
            how = f"normal, mean {self.mean:g}, deviation {self.deviation:g}"
        return (
            f"T = {self.shortest} to {self.longest} ({how}, {layout}, "
            f"the longest of each batch {self.longest})"
        )


def valid_positions(timesteps: int, lengths: Tensor) -> Tensor:
    """Return ``[B, T]``, True where a sequence has not ended."""
    return torch.arange(timesteps) < lengths.unsqueeze(1)


def pad(batch: Batch, lengths: Tensor | None, packed: bool) -> Batch:
    """Cut the sequences of ``batch`` to ``lengths``.

    At padding inputs are 0 and targets :data:`IGNORED`, or 0 if they are numbers. Targets without
    a time axis stay.
    """
    if lengths is None:
        return batch
    padding = ~valid_positions(batch.timesteps, lengths)
    targets = batch.targets
    if batch.has_target_per_timestep:
        targets = _fill(targets, padding, 0 if targets.is_floating_point() else IGNORED)
    return replace(
        batch,
        inputs=_fill(batch.inputs, padding, 0),
        targets=targets,
        lengths=lengths,
        packed=packed,
    )


def _fill(values: Tensor, padding: Tensor, value: int) -> Tensor:
    return values.masked_fill(padding.unsqueeze(-1) if values.dim() == 3 else padding, value)
