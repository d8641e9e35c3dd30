"""What a body's outputs are turned into, and the loss on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.errors import SeqprofError
from seqprof.workloads.batches import IGNORED, Batch

Loss: TypeAlias = Callable[[Tensor, Batch], Tensor]


class TimestepHead(nn.Module):
    """A linear map of every timestep: language modelling, and regression at every t."""

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, output_size)

    def forward(self, outputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Map ``[B, T, O]`` to ``[B, T, output_size]``."""
        return cast(Tensor, self.linear(outputs))


class SequenceHead(nn.Module):
    """A linear map of the state that has seen the whole sequence.

    That is the last valid timestep; for features of a chain that runs right to left, timestep 0.
    """

    def __init__(self, input_size: int, output_size: int, reverse_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, output_size)
        self.reverse_features = reverse_features

    def forward(self, outputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Map ``[B, T, O]`` to ``[B, output_size]``."""
        if not self.reverse_features:
            return cast(Tensor, self.linear(_last(outputs, lengths)))
        ahead = outputs.shape[-1] - self.reverse_features
        final = _last(outputs.narrow(-1, 0, ahead), lengths)
        first = outputs.narrow(-1, ahead, self.reverse_features).select(1, 0)
        return cast(Tensor, self.linear(torch.cat((final, first), -1)))


def _last(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return outputs.select(1, outputs.shape[1] - 1)
    index = (lengths - 1).clamp(min=0).to(outputs.device, non_blocking=True)
    return outputs.gather(1, index.view(-1, 1, 1).expand(-1, 1, outputs.shape[-1])).squeeze(1)


def cross_entropy(output: Tensor, batch: Batch) -> Tensor:
    """Mean over the targets that count; 0 where none does (a chunk of a truncated sequence).

    Args:
        output: ``[B, T, V]`` or ``[B, V]`` logits for int64 targets ``[B, T]`` or ``[B]``.
    """
    targets = batch.targets
    if targets.is_floating_point() or output.shape[:-1] != targets.shape:
        raise SeqprofError(
            f"cross_entropy: the model's output is {_shape(output)}, the targets are "
            f"{_shape(targets)}",
            "the output must be [B, T, V] for integer targets [B, T], or [B, V] for [B]",
        )
    total = F.cross_entropy(
        output.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (targets != IGNORED).sum().clamp(min=1)


def mse(output: Tensor, batch: Batch) -> Tensor:
    """Mean squared error over all that is not padding.

    Args:
        output: as the targets, ``[B, T, F']`` or ``[B, F']``.
    """
    targets = batch.targets
    if not targets.is_floating_point() or output.shape != targets.shape:
        raise SeqprofError(
            f"mse: the model's output is {_shape(output)}, the targets are {_shape(targets)}",
            "both must be floating point and of one shape",
        )
    if batch.lengths is None:
        return F.mse_loss(output, targets)
    ends = batch.lengths.to(output.device, non_blocking=True)
    if batch.has_target_per_timestep:
        times = torch.arange(batch.timesteps, device=output.device)
        counts = (times < ends.unsqueeze(1)).unsqueeze(-1).to(output.dtype)
    else:
        counts = (ends > 0).unsqueeze(-1).to(output.dtype)
    squares = (output - targets).square() * counts
    return squares.sum() / (counts.sum() * output.shape[-1]).clamp(min=1)


def suited_loss(output: Tensor, batch: Batch) -> Tensor:
    """Cross entropy for integer targets, mean squared error for others."""
    if not isinstance(output, Tensor):
        raise SeqprofError(
            f"the model returned a {type(output).__name__}, not a tensor",
            "return the output alone, or set train.loss to your own function(output, target)",
        )
    return mse(output, batch) if batch.targets.is_floating_point() else cross_entropy(output, batch)


def _shape(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
