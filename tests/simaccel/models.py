"""Models whose device is busy or idle by design, for use as a user's own `module:factory`."""

import time

import torch
from torch import Tensor, nn


def spin(microseconds: float) -> None:
    """Work on the host that no device sees: a loop, because a sleep would end too late."""
    end = time.perf_counter_ns() + int(microseconds * 1000)
    while time.perf_counter_ns() < end:
        pass


class LSTMCellLoop(nn.Module):
    """A language model that steps an LSTM cell through time, with host work before each step.

    The host work leaves the device waiting in the forward pass and only there, so forward is
    mostly idle and backward mostly busy.
    """

    def __init__(self, vocabulary: int, hidden: int, host_work_us: float) -> None:
        super().__init__()
        self.host_work_us = host_work_us
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.cell = nn.LSTMCell(hidden, hidden)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] (int64) to logits [B, T, V]."""
        inputs = self.embedding(tokens)
        h = inputs.new_zeros(tokens.shape[0], self.cell.hidden_size)
        c = torch.zeros_like(h)
        outputs = []
        for x in inputs.unbind(1):
            spin(self.host_work_us)
            h, c = self.cell(x, (h, c))
            outputs.append(h)
        logits: Tensor = self.head(torch.stack(outputs, 1))
        return logits


def lstm_cell_loop(
    vocabulary: int = 64, hidden: int = 32, host_work_us: float = 2000.0
) -> LSTMCellLoop:
    return LSTMCellLoop(vocabulary, hidden, host_work_us)
