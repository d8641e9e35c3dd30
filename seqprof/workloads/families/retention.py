"""Retention (Sun et al. 2023, "Retentive Network", section 2), with several scales.

::

    S_t = γ S_{t-1} + k_t v_tᵀ      o_t = S_tᵀ q_t / √d      γ = 1 - 2^(-5-h) for head h
    Y = (swish(X W_g) ⊙ norm(o)) W_o

q and k are turned by their timestep's angles. norm is per head, so any factor common to o_t goes.
Blocks have an MLP, as in a Transformer.
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
from seqprof.workloads.families.rotary import rotate, rotation_angles
from seqprof.workloads.families.scan import full_precision


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return Transformer blocks on retention."""
    heads, chunk = spec.heads or DEFAULT_HEADS, decayed_attention.chunk_of(spec)
    return ResidualStack(
        spec, input_size, lambda: Retention(spec.hidden_size, heads, chunk), mlp=True
    )


def log_decays(heads: int, like: Tensor) -> Tensor:
    """log γ of each head, ``[H]``."""
    return torch.log1p(
        -torch.exp2(-5.0 - torch.arange(heads, device=like.device, dtype=like.dtype))
    )


class Retention(Mixer):
    """Several heads, D features in and out; ``chunk`` None is the parallel form."""

    def __init__(self, size: int, heads: int, chunk: int | None) -> None:
        super().__init__()
        self.qkvg = nn.Linear(size, 4 * size, bias=False)
        self.head_norm = nn.GroupNorm(heads, size, affine=False)
        self.out = nn.Linear(size, size, bias=False)
        self._size, self._heads, self.chunk = size, heads, chunk

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        query, key, value, gate = self.qkvg(x).chunk(4, -1)
        q, k, v = (full_precision(split_heads(part, self._heads)) for part in (query, key, value))
        width = self._size // self._heads
        cos, sin = rotation_angles(x.shape[1], width, q)
        q, k = rotate(q, cos, sin) / math.sqrt(width), rotate(k, cos, sin)
        span = self.chunk or x.shape[1]
        times = torch.arange(1, span + 1, device=q.device, dtype=q.dtype)
        log_decay = torch.outer(log_decays(self._heads, q), times)
        mixed = decayed_attention.of_fixed_decay(q, k, v, log_decay, self.chunk)
        joined = join_heads(mixed)
        normed = self.head_norm(joined.flatten(0, 1)).view_as(joined)
        return cast(Tensor, self.out(F.silu(gate) * normed)), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·5·D² to project, and the products of each head."""
        width = self._size // self._heads
        mixing = decayed_attention.forward_flops(timesteps, self.chunk, width, width)
        project = 2 * timesteps * 5 * self._size**2
        return batch_size * (project + self._heads * mixing)
