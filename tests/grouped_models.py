"""Models that take some lengths only, or whose cells are called in a ratio of their own to T."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

SIZE, FRAMES = 8, 5


class _Reader(nn.Module):
    """``[B, T, SIZE]`` to the same, by what is in ``read``."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(SIZE, SIZE), nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        states = self.read(x, x.new_zeros(len(x), SIZE))
        result: Tensor = self.out(torch.stack(states, 1))
        return result

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        raise NotImplementedError


class ReductionFactor(_Reader):
    """As Tacotron's decoder: several frames a call, and no other T."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        if x.shape[1] % FRAMES:
            raise ValueError(f"T = {x.shape[1]} is no multiple of {FRAMES}")
        states = []
        for x_t in x[:, ::FRAMES].unbind(1):
            h = self.cell(x_t, h)
            states += [h] * FRAMES
        return states


class Pyramid(_Reader):
    """As Listen, Attend and Spell: each layer halves the sequence, of which none may be odd."""

    def __init__(self) -> None:
        super().__init__()
        self.upper = nn.GRUCell(2 * SIZE, SIZE)

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        states = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            states.append(h)
        h, upper = torch.zeros_like(h), []
        for pair in zip(states[::2], states[1::2], strict=True):
            h = self.upper(torch.cat(pair, 1), h)
            upper += [h, h]
        return upper


class ReadThenWrite(_Reader):
    """The copy task: T calls that read, then T - 1 of the same cell that write."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
        states = [h]
        for _ in range(x.shape[1] - 1):
            states.append(self.cell(torch.zeros_like(h), states[-1]))
        return states


class GoesOn(ReadThenWrite):
    """The same with a state that truncated BPTT hands from chunk to chunk."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> Any:
        states = self.read(x, x.new_zeros(len(x), SIZE) if state is None else state)
        return self.out(torch.stack(states, 1)), states[-1]


class ReadThenHalf(_Reader):
    """One cell for an encoder of T calls and a decoder of half as many."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
        states = []
        for _ in range(x.shape[1] // 2):
            h = self.cell(h, h)
            states += [h, h]
        return [*states, h] if x.shape[1] % 2 else states


class Unordered(_Reader):
    """2T - 1 calls whose inputs do not say which are which."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        states: list[Tensor] = []
        for t, x_t in enumerate(x.unbind(1)):
            h = self.cell(x_t * 1, h)
            h = self.cell(h * 1, h) if t else h
            states.append(h)
        return states


class Triangular(_Reader):
    """Begins anew for each timestep: as many calls as the timesteps up to it."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        states = []
        for t in range(x.shape[1]):
            state = h
            for x_t in x[:, : t + 1].unbind(1):
                state = self.cell(x_t, state)
            states.append(state)
        return states


class BackwardOfEven(nn.Module):
    """Its backward has no kernel for odd lengths, though its forward has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(SIZE, SIZE, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return _Even.apply(self.layer(x)[0])  # type: ignore[no-untyped-call]


class _Even(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.timesteps = x.shape[1]
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if ctx.timesteps % 2:
            raise RuntimeError(f"no kernel for {ctx.timesteps} timesteps")
        return gradients[0]


class OneLength(_Reader):
    """A layer over all timesteps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(20 * SIZE, 20 * SIZE)

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        states = []
        for x_t in self.all(x.flatten(1)).view(x.shape).unbind(1):
            h = self.cell(x_t, h)
            states.append(h)
        return states


class ReadsValues(_Reader):
    """Its forward depends on a number that shapes have not."""

    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        scale = 1.0 if float(x.abs().max()) > 0 else 2.0
        states = []
        for x_t in x.unbind(1):
            h = self.cell(x_t * scale, h)
            states.append(h)
        return states


class _Plain(_Reader):
    def read(self, x: Tensor, h: Tensor) -> list[Tensor]:
        states = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            states.append(h)
        return states


def Traced() -> nn.Module:  # noqa: N802 (named as the others are)
    example = torch.randn(3, 20, SIZE)
    traced: nn.Module = torch.jit.trace(_Plain(), example)  # type: ignore[no-untyped-call]
    return traced


def _batches(timesteps: int) -> Iterator[tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    while True:
        x = torch.randn(3, timesteps, SIZE)
        yield x, x


def of_20() -> Iterator[tuple[Tensor, Tensor]]:
    return _batches(20)


def of_35() -> Iterator[tuple[Tensor, Tensor]]:
    """Divided by the frames it is one less than the features."""
    return _batches(35)


def of_60() -> Iterator[tuple[Tensor, Tensor]]:
    return _batches(60)


def of_any() -> Iterator[tuple[Tensor, Tensor]]:
    """No length twice in a row."""
    loaders = [_batches(timesteps) for timesteps in (16, 9, 24, 12, 20)]
    while True:
        for loader in loaders:
            yield next(loader)
