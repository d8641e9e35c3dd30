"""What the newer families have around their mixing over time: pre-norm residual blocks.

::

    x = x + dropout(mixer(norm(x)))      then, in the attention-like ones, x = x + mlp(norm(x))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body, State, TimestepModule, refuse_packed

#: State of one mixer, empty where it carries none.
MixerState: TypeAlias = tuple[Tensor, ...]
_MLP_FACTOR = 4


class Mixer(nn.Module):
    """Mixes over time: ``[B, T, D]`` to ``[B, T, D]``, causally.

    Attributes:
        carries_state: whether the returned state lets the next chunk of a sequence go on.
        timestep_path: the submodule called once per timestep, if any.
        chunk: timesteps that a form in chunks takes at once; None in any other.
    """

    carries_state: bool = False
    timestep_path: str | None = None
    chunk: int | None = None

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """Return outputs ``[B, T, D]`` and the final state; an empty one starts from zeros."""
        raise NotImplementedError

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """Return the FLOPs of the matrix products and convolutions in one forward."""
        raise NotImplementedError


class ResidualBlock(nn.Module):
    """One mixer in its residual, and an MLP in another where there is one."""

    def __init__(self, size: int, mixer: Mixer, dropout: float, *, mlp: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)
        self.mlp = (
            nn.Sequential(
                nn.LayerNorm(size),
                nn.Linear(size, _MLP_FACTOR * size),
                nn.GELU(),
                nn.Linear(_MLP_FACTOR * size, size),
            )
            if mlp
            else None
        )

    def forward(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Map ``[B, T, D]`` to the same, with the mixer's state."""
        mixed, after = self.mixer(self.norm(x), state)
        x = x + self.dropout(mixed)
        if self.mlp is not None:
            x = x + self.dropout(self.mlp(x))
        return x, after


class ResidualStack(Body):
    """``layers`` blocks, one after the other over the whole sequence, and a last norm."""

    def __init__(
        self,
        spec: ModelSpec,
        input_size: int,
        make_mixer: Callable[[], Mixer],
        *,
        mlp: bool = False,
    ) -> None:
        super().__init__()
        size = spec.hidden_size
        self.project = nn.Identity() if input_size == size else nn.Linear(input_size, size)
        self.blocks = nn.ModuleList(
            ResidualBlock(size, make_mixer(), spec.dropout, mlp=mlp) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(size)
        self.output_size = size
        self.carries_state, self.chunk = self._mixers()[0].carries_state, self._mixers()[0].chunk
        self._family, self._input_size, self._mlp = spec.name, input_size, mlp

    def _mixers(self) -> list[Mixer]:
        return [cast(ResidualBlock, block).mixer for block in self.blocks]

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`. The state is one tuple per block, or empty.

        Padding comes after all that counts, so lengths make no difference.

        Raises:
            SeqprofError: ``packed``: these models compute on rectangles.
        """
        refuse_packed(packed, self._family)
        x = cast(Tensor, self.project(inputs))
        before = ((),) * len(self.blocks) if state is None else cast("tuple[MixerState]", state)
        states: list[MixerState] = []
        for block, own in zip(self.blocks, before, strict=True):
            x, after = self.run_block(block, x, own)
            states.append(after)
        return self.norm(x), tuple(states) if self.carries_state else ()

    def timestep_modules(self) -> tuple[TimestepModule, ...]:
        return tuple(
            TimestepModule(f"blocks.{index}.mixer.{mixer.timestep_path}")
            for index, mixer in enumerate(self._mixers())
            if mixer.timestep_path is not None
        )

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs of the mixers, of the entry 2·B·T·I·D and of each MLP 2·B·T·8·D²."""
        size, positions = self.output_size, batch_size * timesteps
        entry = 0 if self._input_size == size else 2 * positions * self._input_size * size
        mlp = 2 * positions * 2 * _MLP_FACTOR * size**2 if self._mlp else 0
        return entry + sum(
            mixer.forward_flops(batch_size, timesteps) + mlp for mixer in self._mixers()
        )


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``[B, T, heads·d]`` to ``[B, heads, T, d]``."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """``[B, heads, T, d]`` to ``[B, T, heads·d]``."""
    return x.transpose(1, 2).flatten(-2)


def causal_mask(timesteps: int, like: Tensor) -> Tensor:
    """``[T, T]``, true where the column is at or before the row."""
    return torch.ones(timesteps, timesteps, dtype=torch.bool, device=like.device).tril()
