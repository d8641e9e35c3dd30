"""mLSTM (Beck et al. 2024, "xLSTM", section 2.3; its parallel form in appendix A.3).

::

    C_t = f_t C_{t-1} + i_t v_t k_tᵀ    n_t = f_t n_{t-1} + i_t k_t
    h_t = o_t ⊙ (C_t q_t) / max(|n_tᵀ q_t|, 1)      i = exp(ĩ)    f = σ(f̃)    o = σ(W_o x)

exp(ĩ) can overflow, so C and n are kept divided by exp(m_t). h does not depend on m, which is
therefore left out of the gradient: the gradient stays exact. In parallel m_t is the maximum over
the row of log weights; in chunks it is carried along.

This is the cell with its projections and a norm per head; the paper's block around it (a wider
projection and a convolution) is left out.
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
from seqprof.workloads.families.decayed_attention import split_chunks
from seqprof.workloads.families.residual_stack import (
    Mixer,
    MixerState,
    ResidualStack,
    causal_mask,
    join_heads,
    split_heads,
)
from seqprof.workloads.families.scan import full_precision

#: σ(f̃) near 0.95 … 0.998 at first, so that memory lasts (the paper's initialisation).
_FORGET_BIAS = (3.0, 6.0)


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of mLSTM layers."""
    heads, chunk = spec.heads or DEFAULT_HEADS, decayed_attention.chunk_of(spec)
    return ResidualStack(spec, input_size, lambda: MLSTM(spec.hidden_size, heads, chunk))


class MLSTM(Mixer):
    """One layer, D features in and out; ``chunk`` None is the parallel form."""

    def __init__(self, size: int, heads: int, chunk: int | None) -> None:
        super().__init__()
        self.qkvo = nn.Linear(size, 4 * size)
        self.gates = nn.Linear(size, 2 * heads)
        self.head_norm = nn.GroupNorm(heads, size)
        self.out = nn.Linear(size, size)
        self._size, self._heads, self.chunk = size, heads, chunk
        with torch.no_grad():
            self.gates.bias[heads:] = torch.linspace(*_FORGET_BIAS, heads)

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        query, key, value, output = self.qkvo(x).chunk(4, -1)
        q, k, v = (full_precision(split_heads(part, self._heads)) for part in (query, key, value))
        k = k / math.sqrt(self._size // self._heads)
        gates = full_precision(self.gates(x)).transpose(1, 2)
        log_i, forget = gates.chunk(2, 1)  # each [B, H, T]
        log_f = F.logsigmoid(forget)
        if self.chunk is None:
            mixed = parallel(q, k, v, log_i, log_f)
        else:
            mixed = chunked(q, k, v, log_i, log_f, self.chunk)
        joined = join_heads(mixed)
        normed = self.head_norm(joined.flatten(0, 1)).view_as(joined)
        return cast(Tensor, self.out(output.sigmoid() * normed)), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·(5·D² + 2·D·H) to project, and the products of each head."""
        width = self._size // self._heads
        mixing = decayed_attention.forward_flops(timesteps, self.chunk, width, width)
        if self.chunk is not None:
            # q·n of the carried state; n itself is a sum.
            mixing += 2 * -(-timesteps // self.chunk) * self.chunk * width
        project = 2 * timesteps * (5 * self._size**2 + 2 * self._size * self._heads)
        return batch_size * (project + self._heads * mixing)


def parallel(q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor) -> Tensor:
    """(C_t q_t) / max(|n_tᵀ q_t|, 1) at once: q, k, v ``[B, H, T, d]``, gates ``[B, H, T]``."""
    log_weights = _log_weights(log_i, log_f.cumsum(-1))
    m = log_weights.detach().amax(-1, keepdim=True)
    scores = q @ k.transpose(-1, -2) * (log_weights - m).exp()
    return _normalise(scores @ v, scores.sum(-1, keepdim=True), m)


def _log_weights(log_i: Tensor, log_decay: Tensor) -> Tensor:
    """log of f_{s+1} ⋯ f_t i_s at row t, column s ≤ t; -∞ above: ``[…, T, T]``."""
    weights = log_decay.unsqueeze(-1) - log_decay.unsqueeze(-2) + log_i.unsqueeze(-2)
    return weights.masked_fill(~causal_mask(log_i.shape[-1], log_i), float("-inf"))


def _normalise(numerator: Tensor, normaliser: Tensor, m: Tensor) -> Tensor:
    """Divide by max(|normaliser|, 1), all three kept divided by exp(m)."""
    return full_precision(numerator) / torch.maximum(normaliser.abs(), (-m).exp())


def chunked(q: Tensor, k: Tensor, v: Tensor, log_i: Tensor, log_f: Tensor, chunk: int) -> Tensor:
    """The same in chunks of C timesteps; the states between them are a chain of T/C timesteps."""
    timesteps = q.shape[2]
    q, k, v = (split_chunks(x, chunk, -2) for x in (q, k, v))  # [B, H, T/C, C, d]
    log_i, log_f = (split_chunks(x, chunk, -1) for x in (log_i, log_f))
    log_decay = log_f.cumsum(-1)
    memory, normaliser, m_before = _states_before(k, v, log_i, log_decay)
    log_weights = _log_weights(log_i, log_decay)
    log_carried = (log_decay + m_before.unsqueeze(-1)).unsqueeze(-1)  # [B, H, T/C, C, 1]
    m = torch.maximum(log_weights.amax(-1, keepdim=True), log_carried).detach()
    scores = q @ k.transpose(-1, -2) * (log_weights - m).exp()
    carried = q * (log_carried - m).exp()
    numerator = scores @ v + carried @ memory
    total = scores.sum(-1, keepdim=True) + carried @ normaliser.unsqueeze(-1)
    return _normalise(numerator, total, m).flatten(2, 3).narrow(2, 0, timesteps)


def _states_before(
    k: Tensor, v: Tensor, log_i: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """C ``[B, H, T/C, d, d]`` and n ``[B, H, T/C, d]`` before each chunk, divided by exp(m)."""
    last = log_decay[..., -1:]
    to_end = last - log_decay + log_i
    local_m = to_end.detach().amax(-1)  # [B, H, T/C]
    weighted = k * (to_end - local_m.unsqueeze(-1)).exp().unsqueeze(-1)
    added = full_precision(weighted.transpose(-1, -2) @ v), weighted.sum(-2)
    memory, normaliser = torch.zeros_like(added[0][:, :, 0]), torch.zeros_like(added[1][:, :, 0])
    m = torch.full_like(local_m[..., 0], float("-inf"))
    before = []
    parts = (last.squeeze(-1), local_m, *added)
    for decay, own_m, kv, key in zip(*(part.unbind(2) for part in parts), strict=True):
        before.append((memory, normaliser, m))
        m_after = torch.maximum(decay.detach() + m, own_m)
        keep = (decay + m - m_after).exp().unsqueeze(-1)
        enter = (own_m - m_after).exp().unsqueeze(-1)
        memory = keep.unsqueeze(-1) * memory + enter.unsqueeze(-1) * kv
        normaliser = keep * normaliser + enter * key
        m = m_after
    memories, normalisers, ms = (torch.stack(part, 2) for part in zip(*before, strict=True))
    return memories, normalisers, ms
