"""A model of one's own for own_model.yaml: any nn.Module that maps inputs to outputs will do."""

import torch
from torch import Tensor, nn


class MinimalGatedCell(nn.Module):
    """One timestep of the minimal gated unit (Zhou et al. 2016): a GRU with a single gate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Map x_t ``[B, I]`` and h_{t-1} ``[B, H]`` to h_t ``[B, H]``."""
        gate = torch.sigmoid(self.gate(torch.cat((x, h), dim=-1)))
        candidate = torch.tanh(self.candidate(torch.cat((x, gate * h), dim=-1)))
        return torch.lerp(h, candidate, gate)


class ByteModel(nn.Module):
    """Predicts the next byte of a text."""

    def __init__(self, hidden_size: int, tokens: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, hidden_size)
        self.cell = MinimalGatedCell(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map bytes ``[B, T]`` to logits ``[B, T, tokens]``."""
        inputs = self.embedding(tokens)
        h = inputs.new_zeros(inputs.shape[0], inputs.shape[2])
        states = []
        # unbind, not inputs[:, t]: the backward of T slices would each fill a whole [B, T, H].
        for x in inputs.unbind(dim=1):
            h = self.cell(x, h)
            states.append(h)
        return self.head(torch.stack(states, dim=1))


def build(hidden_size: int = 128) -> nn.Module:
    """Return the model; seqprof calls this with ``model.kwargs``."""
    return ByteModel(hidden_size)
