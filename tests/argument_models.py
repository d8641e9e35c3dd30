"""Models about which claims of `seqprof explain` are false, by construction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN, TOKENS = 16, 256


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, HIDDEN)
        self.inputs, self.state = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, TOKENS)

    def logits(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.head(hidden)
        return result


class Recurrence(_Model):
    """h = tanh(W x + U h); ``remembers=False``: the loop is there, h is not read."""

    def __init__(self, remembers: bool) -> None:
        super().__init__()
        self.remembers = remembers

    def forward(self, tokens: Tensor) -> Tensor:
        h, outputs = torch.zeros(1, HIDDEN, device=tokens.device, dtype=self.head.weight.dtype), []
        for x in self.embed(tokens).unbind(1):
            h = torch.tanh(self.inputs(x) + (self.state(h) if self.remembers else 0.0))
            outputs.append(h)
        return self.logits(torch.stack(outputs, dim=1))


class Attention(_Model):
    """Causal attention; ``hidden_loop``: its values go through a chain over the timesteps."""

    def __init__(self, hidden_loop: bool) -> None:
        super().__init__()
        self.hidden_loop = hidden_loop

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.inputs(self.embed(tokens))
        if self.hidden_loop:
            h, values = torch.zeros_like(x[:, 0]), []
            for one in x.unbind(1):
                h = torch.tanh(one + 0.5 * h)
                values.append(h)
            x = torch.stack(values, dim=1)
        return self.logits(nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True))


def recurrence() -> nn.Module:
    return Recurrence(remembers=True)


class _StepByStep(_Model):
    """A recurrence that takes each token to numbers in its own timestep, by a module or without."""

    def __init__(self, by_module: bool) -> None:
        super().__init__()
        self.by_module = by_module

    def forward(self, tokens: Tensor) -> Tensor:
        h, outputs = torch.zeros(1, HIDDEN, device=tokens.device, dtype=self.head.weight.dtype), []
        for one in tokens.unbind(1):
            x = self.embed(one) if self.by_module else self.embed.weight[one]
            h = torch.tanh(x + h @ self.state.weight)
            outputs.append(h)
        return self.logits(torch.stack(outputs, dim=1))


def step_by_step() -> nn.Module:
    return _StepByStep(by_module=True)


def without_modules() -> nn.Module:
    return _StepByStep(by_module=False)


def forgetful() -> nn.Module:
    return Recurrence(remembers=False)


def attention() -> nn.Module:
    return Attention(hidden_loop=False)


def attention_with_loop() -> nn.Module:
    return Attention(hidden_loop=True)


class _LooksAhead(_Model):
    def forward(self, tokens: Tensor) -> Tensor:
        x = self.inputs(self.embed(tokens))
        return self.logits(x + x.mean(dim=1, keepdim=True))


def looks_ahead() -> nn.Module:
    return _LooksAhead()


class _Pairs(_Model):
    """No memory, and work ~ T squared."""

    COPIES = 16

    def forward(self, tokens: Tensor) -> Tensor:
        x = torch.tanh(self.inputs(self.embed(tokens)))
        return self.logits(x + self._own(x))

    def _own(self, x: Tensor) -> Tensor:
        """Add nothing: each timestep's distance to itself among those to all others."""
        apart = (x.unsqueeze(2) - x.unsqueeze(1)).abs()  # [B, T, T, H]
        apart = apart.repeat(1, 1, 1, self.COPIES)
        return apart.diagonal(dim1=1, dim2=2).mean(dim=1).unsqueeze(2)


class _InTurn(_Model):
    """One sequence after the other, each as much longer than the one before as the first takes.

    Were they alike, twice the batch would take less than twice the time by what is done once a
    step, and a few rounds could not tell that from a batch that pays.
    """

    SIDE, TIMES = 256, 10

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(HIDDEN, self.SIDE)
        self.square = nn.Linear(self.SIDE, self.SIDE)
        self.narrow = nn.Linear(self.SIDE, HIDDEN)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.widen(self.embed(tokens))
        alone = [self._alone(part, n) for n, part in enumerate(torch.split(x, 1), start=1)]
        return self.logits(self.narrow(torch.cat(alone)))

    def _alone(self, x: Tensor, times: int) -> Tensor:
        for _ in range(times * self.TIMES):
            x = torch.tanh(self.square(x))
        return x


class _Busy(_Model):
    """Nearly all that it does is one large matrix product after the other, over all timesteps."""

    SIDE, TIMES = 512, 3

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(HIDDEN, self.SIDE)
        self.square = nn.Linear(self.SIDE, self.SIDE)
        self.narrow = nn.Linear(self.SIDE, HIDDEN)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.widen(self.embed(tokens))
        for _ in range(self.TIMES):
            x = self.square(x)
        return self.logits(self.narrow(x))


def busy() -> nn.Module:
    return _Busy()


def pairs() -> nn.Module:
    return _Pairs()


def one_by_one() -> nn.Module:
    return _InTurn()
