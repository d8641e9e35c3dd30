"""A recurrent model whose work per timestep is a number of equal parts: 23 is 15 % over 20."""

import torch
from torch import Tensor, nn


class Timestep(nn.Module):
    """One timestep: the same small layer, again and again."""

    def __init__(self, hidden: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.layer = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """x [B, D] and h [B, D] to the next h."""
        h = h + x
        for _ in range(self.parts):
            h = self.layer(h).tanh()
        return h


class Parts(nn.Module):
    """A language model over it."""

    def __init__(self, hidden: int, parts: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, hidden)
        self.timestep = Timestep(hidden, parts)
        self.head = nn.Linear(hidden, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] to logits [B, T, 256]."""
        x = self.embedding(tokens)
        h = x.new_zeros(x.shape[0], x.shape[2])
        outputs = []
        for t in range(x.shape[1]):
            h = self.timestep(x[:, t], h)
            outputs.append(h)
        logits: Tensor = self.head(torch.stack(outputs, 1))
        return logits


def parts(hidden: int = 64, parts: int = 20) -> nn.Module:
    """The model that a spec names: `model.target: parts_model:parts`."""
    return Parts(hidden, parts)
