"""A model with a chain over timesteps that it does not need, and the same model without.

Both predict from the mean of all features up to t. `build` carries the sum from timestep to
timestep in a Python loop; `build_rewritten` asks for all sums at once (cumsum). `seqprof depth`
tells them apart without running either on data:
    seqprof depth @sequential_dependency
"""

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """Predicts the next byte from the mean of the embeddings so far."""

    def __init__(self, hidden_size: int, tokens: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, hidden_size)
        self.mix = nn.Linear(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map bytes ``[B, T]`` to logits ``[B, T, tokens]``."""
        mixed = torch.tanh(self.mix(self.embedding(tokens)))
        counts = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        return self.head(self.sums(mixed) / counts.unsqueeze(-1))

    def sums(self, x: Tensor) -> Tensor:
        """Sum ``[B, T, H]`` up to each timestep, one timestep after the other: depth O(T)."""
        total = torch.zeros_like(x[:, 0])
        totals = []
        for x_t in x.unbind(dim=1):
            total = total + x_t
            totals.append(total)
        return torch.stack(totals, dim=1)


class RunningMeanAtOnce(RunningMean):
    """The same numbers; no operation waits for another timestep's: depth O(1)."""

    def sums(self, x: Tensor) -> Tensor:
        return x.cumsum(dim=1)


def build(hidden_size: int = 64) -> nn.Module:
    """Return the model with the loop."""
    return RunningMean(hidden_size)


def build_rewritten(hidden_size: int = 64) -> nn.Module:
    """Return the model without it."""
    return RunningMeanAtOnce(hidden_size)
