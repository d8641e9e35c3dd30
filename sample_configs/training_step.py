"""A training step of one's own, for training_step.yaml: sequence to sequence, teacher forcing."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = 64


class Translator(nn.Module):
    """Reads a sequence with a GRU and writes another one, timestep by timestep."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, hidden_size)
        self.encoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.decoder = nn.GRUCell(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, TOKENS)

    def forward(self, source: Tensor, given: Tensor) -> Tensor:
        """Map source ``[B, T]`` and the given target ``[B, T]`` to logits ``[B, T, TOKENS]``."""
        _, state = self.encoder(self.embedding(source))
        h, outputs = state[0], []
        for x in self.embedding(given).unbind(dim=1):
            h = self.decoder(x, h)
            outputs.append(h)
        return self.head(torch.stack(outputs, dim=1))


def reversals(length: int = 48, batch_size: int = 16) -> Iterator[dict[str, Tensor]]:
    """Yield sequences and themselves reversed."""
    while True:
        source = torch.randint(1, TOKENS, (batch_size, length))
        yield {"source": source, "target": source.flip(1)}


def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Any]:
    """Return the loss; seqprof calls backward and the optimizer."""
    target = batch["target"]
    given = F.pad(target[:, :-1], (1, 0))  # the token before, as if it had been written
    logits = model(batch["source"], given)
    return {"loss": F.cross_entropy(logits.flatten(0, 1), target.flatten())}
