"""Linear attention (Katharopoulos et al. 2020, "Transformers are RNNs", section 3).

::

    S_t = S_{t-1} + φ(k_t) v_tᵀ    z_t = z_{t-1} + φ(k_t)    o_t = S_tᵀφ(q_t) / z_tᵀφ(q_t)
    φ(x) = elu(x) + 1

The normaliser z is computed as one more column of v, all ones. Blocks have an MLP, as in a
Transformer.
"""

from __future__ import annotations

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
from seqprof.workloads.families.scan import full_precision


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return Transformer blocks on linear attention."""
    heads, chunk = spec.heads or DEFAULT_HEADS, decayed_attention.chunk_of(spec)
    return ResidualStack(
        spec, input_size, lambda: LinearAttention(spec.hidden_size, heads, chunk), mlp=True
    )


class LinearAttention(Mixer):
    """Several heads, D features in and out; ``chunk`` None is the parallel form."""

    def __init__(self, size: int, heads: int, chunk: int | None) -> None:
        super().__init__()
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self._size, self._heads, self.chunk = size, heads, chunk

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        q, k, v = (
            full_precision(split_heads(part, self._heads)) for part in self.qkv(x).chunk(3, -1)
        )
        q, k = F.elu(q) + 1, F.elu(k) + 1
        v = F.pad(v, (0, 1), value=1.0)  # [B, H, T, d + 1]
        no_decay = v.new_zeros(self.chunk or x.shape[1])
        mixed = decayed_attention.of_fixed_decay(q, k, v, no_decay, self.chunk)
        value, normaliser = torch.split(full_precision(mixed), [self._size // self._heads, 1], -1)
        return cast(Tensor, self.out(join_heads(value / normaliser))), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·4·D² to project, and the products of each head."""
        width = self._size // self._heads
        mixing = decayed_attention.forward_flops(timesteps, self.chunk, width, width + 1)
        project = 2 * timesteps * 4 * self._size**2
        return batch_size * (project + self._heads * mixing)
