"""Selective state spaces: Mamba (Gu & Dao 2023) and the scalar form of Mamba-2 (Dao & Gu 2024).

::

    u, gate = W_in x     u = silu(causal_conv(u))     Δ = softplus(W_Δ u + b)     B, C = W_BC u
    full      h_t = exp(Δ_t A)⊙h_{t-1} + Δ_t B_t u_t      A: [E, N], one decay per feature and state
    scalar    S_t = exp(Δ_t A) S_{t-1} + Δ_t B_t u_tᵀ     A: one number per head
    y = h C + D⊙u        out = W_out (y⊙silu(gate))

E = 2·D features inside, N states each, a convolution over 4 timesteps. ``full`` scans all of
``[B, T, E, N]`` by framework operations; the paper's kernel, which keeps h on the chip, is not used
here. ``scalar`` is linear attention with a decay from the input, and has its two forms.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import DEFAULT_HEADS, ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.families import decayed_attention
from seqprof.workloads.families.residual_stack import (
    Mixer,
    MixerState,
    ResidualStack,
    join_heads,
    split_heads,
)
from seqprof.workloads.families.scan import LinearRecurrence, full_precision

DEFAULT_STATES = 16
_EXPAND, _KERNEL = 2, 4
_STEPS = (1e-3, 1e-1)


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of selective state-space layers."""
    return ResidualStack(spec, input_size, lambda: _make_mixer(spec))


def _make_mixer(spec: ModelSpec) -> Mixer:
    size, states = spec.hidden_size, spec.state_size or DEFAULT_STATES
    if spec.transition == "scalar":
        heads = spec.heads or DEFAULT_HEADS
        return ScalarMamba(size, states, heads, decayed_attention.chunk_of(spec))
    return FullMamba(size, states, sequential=spec.execution == "sequential")


class CausalConvolution(nn.Module):
    """Each feature convolved with its own kernel over the last 4 timesteps."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(size, size, _KERNEL, groups=size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, T, E]`` to the same."""
        padded = F.pad(x.transpose(1, 2), (_KERNEL - 1, 0))
        return cast(Tensor, self.convolution(padded).transpose(1, 2))


def _step_bias(count: int) -> Tensor:
    """b such that softplus(b) is between the smallest and largest step, evenly in logarithms."""
    low, high = (math.log(step) for step in _STEPS)
    steps = (torch.rand(count) * (high - low) + low).exp()
    return steps.expm1().log()


class FullMamba(Mixer):
    """One layer, D features in and out, with a decay per feature and state."""

    def __init__(self, size: int, states: int, *, sequential: bool) -> None:
        super().__init__()
        inner, rank = _EXPAND * size, -(-size // 16)
        self.enter = nn.Linear(size, 2 * inner, bias=False)
        self.convolve = CausalConvolution(inner)
        self.select = nn.Linear(inner, rank + 2 * states, bias=False)
        self.step = nn.Linear(rank, inner)
        self.log_rate = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.leave = nn.Linear(inner, size, bias=False)
        self.recurrence = LinearRecurrence(sequential=sequential)
        self.timestep_path = "recurrence.advance" if sequential else None
        self._size, self._inner, self._rank, self._states = size, inner, rank, states
        with torch.no_grad():
            self.step.bias.copy_(_step_bias(inner))

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        u, gate = self.enter(x).chunk(2, -1)
        u = full_precision(F.silu(self.convolve(u)))  # [B, T, E]
        low, b, c = self.select(u).split((self._rank, self._states, self._states), -1)
        step = F.softplus(full_precision(self.step(low)))  # Δ, [B, T, E]
        decay = (step.unsqueeze(-1) * -self.log_rate.exp()).exp()  # [B, T, E, N]
        driven = (step * u).unsqueeze(-1) * full_precision(b).unsqueeze(-2)
        h = self.recurrence(decay, driven)
        y = full_precision((h @ c.to(h.dtype).unsqueeze(-1)).squeeze(-1)) + self.skip * u
        return cast(Tensor, self.leave(y * F.silu(gate))), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·(D·2E + E·4 conv + E·(R + 2N) + R·E + E·N read + E·D), R = ⌈D/16⌉."""
        inner, states, rank = self._inner, self._states, self._rank
        linear = 3 * self._size * inner + inner * (2 * rank + 2 * states)
        return 2 * batch_size * timesteps * (linear + inner * (_KERNEL + states))


class ScalarMamba(Mixer):
    """One layer, D features in and out, with a decay per head."""

    def __init__(self, size: int, states: int, heads: int, chunk: int | None) -> None:
        super().__init__()
        inner = _EXPAND * size
        self.enter = nn.Linear(size, 2 * inner + 2 * states + heads, bias=False)
        self.convolve = CausalConvolution(inner + 2 * states)
        self.step_bias = nn.Parameter(_step_bias(heads))
        self.log_rate = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner)
        self.leave = nn.Linear(inner, size, bias=False)
        self._size, self._inner, self._states = size, inner, states
        self._heads, self.chunk = heads, chunk

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        mixed = self._inner + 2 * self._states
        gate, mixed_in, steps = self.enter(x).split((self._inner, mixed, self._heads), -1)
        convolved = full_precision(F.silu(self.convolve(mixed_in)))
        u, b, c = torch.split(convolved, [self._inner, self._states, self._states], -1)
        step = F.softplus(full_precision(steps) + self.step_bias).transpose(1, 2)  # [B, heads, T]
        log_a = step * -self.log_rate.exp().unsqueeze(-1)
        u = split_heads(u, self._heads)  # [B, heads, T, P]
        b, c = (part.unsqueeze(1).expand(-1, self._heads, -1, -1) for part in (b, c))
        y = full_precision(self._mix(c, b, u * step.unsqueeze(-1), log_a))
        y = join_heads(y + self.skip.view(-1, 1, 1) * u)
        return cast(Tensor, self.leave(self.norm(y * F.silu(gate)))), ()

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, log_a: Tensor) -> Tensor:
        if self.chunk is None:
            return decayed_attention.parallel(q, k, v, log_a.cumsum(-1))
        log_decay = decayed_attention.split_chunks(log_a, self.chunk, -1).cumsum(-1)
        return decayed_attention.chunked(q, k, v, log_decay, self.chunk)

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·(D·(2E + 2N + H) + (E + 2N)·4 conv + E·D), and the products of each head."""
        inner, states, heads = self._inner, self._states, self._heads
        linear = self._size * (3 * inner + 2 * states + heads)
        positions = 2 * timesteps * (linear + (inner + 2 * states) * _KERNEL)
        mixing = decayed_attention.forward_flops(timesteps, self.chunk, states, inner // heads)
        return batch_size * (positions + heads * mixing)
