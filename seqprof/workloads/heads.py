"""What a body's outputs are turned into."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


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
