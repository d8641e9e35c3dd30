"""Models whose cost, memory or faults are planted, for `compare` and `scale`."""

import itertools
import os
import signal
import threading
from pathlib import Path

import torch
from torch import Tensor, nn


class CellLoop(nn.Module):
    """An LSTMCell in a loop that takes each timestep by ``x[:, t]`` or by ``unbind``."""

    def __init__(self, sliced: bool, hidden: int) -> None:
        super().__init__()
        self.sliced = sliced
        self.embedding = nn.Embedding(256, hidden)
        self.cell = nn.LSTMCell(hidden, hidden)
        self.head = nn.Linear(hidden, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] to logits [B, T, 256]."""
        x = self.embedding(tokens)
        h = c = x.new_zeros(x.shape[0], x.shape[2])
        parts = None if self.sliced else x.unbind(1)
        outputs = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t] if parts is None else parts[t], (h, c))
            outputs.append(h)
        logits: Tensor = self.head(torch.stack(outputs, 1))
        return logits


def sliced(hidden: int = 32) -> nn.Module:
    return CellLoop(True, hidden)


def unbound(hidden: int = 32) -> nn.Module:
    return CellLoop(False, hidden)


class Limited(nn.Module):
    """A small model that cannot take sequences of ``limit`` timesteps or more."""

    def __init__(self, limit: int, killed: bool) -> None:
        super().__init__()
        self.limit, self.killed = limit, killed
        self.embedding = nn.Embedding(256, 16)
        self.head = nn.Linear(16, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] to logits [B, T, 256]."""
        if tokens.shape[1] >= self.limit:
            if self.killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise torch.OutOfMemoryError("planted: out of memory")
        logits: Tensor = self.head(self.embedding(tokens))
        return logits


def limited() -> nn.Module:
    return Limited(128, killed=False)


def killed() -> nn.Module:
    return Limited(128, killed=True)


def crowded() -> nn.Module:
    """Starts more threads than have their clocks read one by one."""
    for _ in range(20):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return Limited(2**31, killed=False)


def forking() -> nn.Module:
    """Copies its process in the tenth forward; both copies go on."""
    model = Limited(2**31, killed=False)
    calls = itertools.count()

    def fork(*_: object) -> None:
        if next(calls) == 10:
            os.fork()

    model.register_forward_pre_hook(fork)
    return model


class _Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.weight @ self.weight


def announcing() -> nn.Module:
    """Makes the file SEQPROF_TEST_SIGN when it has been called so often that rounds are going."""
    model = Limited(2**31, killed=False)
    calls = itertools.count()

    def announce(*_: object) -> None:
        if next(calls) == 60:
            Path(os.environ["SEQPROF_TEST_SIGN"]).touch()

    model.register_forward_pre_hook(announce)
    return model


def broken() -> nn.Module:
    """Multiplies matrices that do not fit."""
    return _Broken()


class Repeated(nn.Module):
    """A fixed number of device operations, and some for every timestep."""

    def __init__(self, fixed: int, per_timestep: float) -> None:
        super().__init__()
        self.fixed, self.per_timestep = fixed, per_timestep
        self.embedding = nn.Embedding(256, 8)
        self.head = nn.Linear(8, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] to logits [B, T, 256]."""
        x = self.embedding(tokens)
        for _ in range(self.fixed + int(self.per_timestep * tokens.shape[1])):
            x = x + 1.0
        logits: Tensor = self.head(x)
        return logits


def flat() -> nn.Module:
    """Costs 48 operations at every length."""
    return Repeated(48, 0)


def growing() -> nn.Module:
    """Costs one operation per timestep: as many as `flat` at T = 48."""
    return Repeated(0, 1)


def worker_10() -> nn.Module:
    """Costs 40 parts of the same work."""
    return Layers(40)


def worker_11() -> nn.Module:
    """Costs 44 of them: 10 % more."""
    return Layers(44)


class Layers(nn.Module):
    """A residual layer again and again: nothing fades to numbers that are slow to compute."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.embedding = nn.Embedding(256, 128)
        self.layer = nn.Linear(128, 128)
        self.head = nn.Linear(128, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] to logits [B, T, 256]."""
        x = self.embedding(tokens)
        for _ in range(self.count):
            x = x + 0.1 * self.layer(x).tanh()
        logits: Tensor = self.head(x)
        return logits
