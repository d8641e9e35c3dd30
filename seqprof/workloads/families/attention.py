"""Attention: pre-norm Transformer blocks, causal (``attention``) or not (``encoder``)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body, State, refuse_packed
from seqprof.workloads.families.rotary import rotate, rotation_angles

DEFAULT_HEADS = 4
_MLP_FACTOR = 4


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return the body that ``spec`` names.

    Raises:
        SeqprofError: ``hidden_size`` is no multiple of the heads.
    """
    heads = spec.heads or DEFAULT_HEADS
    if spec.hidden_size % heads:
        raise SeqprofError(
            f"model.hidden_size: {spec.hidden_size} cannot be divided among {heads} heads",
            f"use a multiple of {heads}",
        )
    return AttentionBody(spec, input_size, heads, causal=spec.name != "encoder")


class AttentionBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, size: int, heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.mlp_norm = nn.LayerNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, _MLP_FACTOR * size), nn.GELU(), nn.Linear(_MLP_FACTOR * size, size)
        )
        self.dropout = nn.Dropout(dropout)
        self.heads = heads
        self.causal = causal

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, keep: Tensor | None) -> Tensor:
        """Map ``[B, T, D]`` to the same; ``keep`` ``[B, 1, 1, T]`` is False at padding."""
        batch, timesteps, size = x.shape
        qkv = self.qkv(self.attention_norm(x))
        split = qkv.view(batch, timesteps, 3, self.heads, size // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, D/heads]
        mixed = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, attn_mask=keep, is_causal=self.causal
        )
        joined = mixed.transpose(1, 2).reshape(batch, timesteps, size)
        x = x + cast(Tensor, self.dropout(self.out(joined)))
        return x + cast(Tensor, self.dropout(self.mlp(self.mlp_norm(x))))


class AttentionBody(Body):
    """A stack of blocks with rotary positions (Su et al. 2021), good for any T."""

    def __init__(self, spec: ModelSpec, input_size: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        size = spec.hidden_size
        self.project = nn.Identity() if input_size == size else nn.Linear(input_size, size)
        self.blocks = nn.ModuleList(
            AttentionBlock(size, heads, spec.dropout, causal) for _ in range(spec.layers)
        )
        self.norm = nn.LayerNorm(size)
        self.output_size = size
        self._heads, self._input_size, self._causal = heads, input_size, causal
        self._family = spec.name

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`; there is no state.

        Raises:
            SeqprofError: ``packed``: attention computes on rectangles.
        """
        refuse_packed(packed, self._family)
        x = self.project(inputs)
        cos, sin = self._angles(x)
        # Causally, padding comes after all that counts and needs no mask.
        keep = None if self._causal or lengths is None else _keys(x, lengths)
        for block in self.blocks:
            x = self.run_block(block, x, cos, sin, keep)
        return self.norm(x), ()

    def _angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return rotation_angles(x.shape[1], self.output_size // self._heads, x)

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·I·D to project, and per block 2·B·T·12·D² + 4·B·T²·D.

        12·D² = 3 for q, k, v, 1 for the output, 8 for the MLP. The causal half of T² that is masked
        is counted, as the literature and ``torch.utils.flop_counter`` do.
        """
        size, positions = self.output_size, batch_size * timesteps
        block = 2 * positions * (4 + 2 * _MLP_FACTOR) * size**2 + 4 * positions * timesteps * size
        project = 0 if self._input_size == size else 2 * positions * self._input_size * size
        return project + len(self.blocks) * block


def _keys(x: Tensor, lengths: Tensor) -> Tensor:
    ends = lengths.clamp(min=1).to(x.device, non_blocking=True)
    return (torch.arange(x.shape[1], device=x.device) < ends.unsqueeze(1))[:, None, None, :]
