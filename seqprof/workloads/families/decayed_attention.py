"""Linear attention with a decay: one recurrence in two forms that give the same outputs.

::

    S_t = a_t S_{t-1} + k_t v_tᵀ        o_t = S_tᵀ q_t        0 < a_t ≤ 1

Linear attention (a = 1), retention (a fixed per head) and Mamba-2 (a from the input) are this
recurrence. In parallel all of ``[T, T]`` is computed at once; in chunks of C timesteps only
``[C, C]`` within each, and the states between chunks are a chain of T/C timesteps (Sun et al. 2023;
Dao & Gu 2024, section 6). No exponent is above 0, so nothing can overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from seqprof.spec import ModelSpec
from seqprof.workloads.families.residual_stack import causal_mask
from seqprof.workloads.families.scan import Advance, full_precision, run_sequentially

DEFAULT_CHUNK = 64


def chunk_of(spec: ModelSpec) -> int | None:
    """Return C in the chunked form, None in any other."""
    return (spec.chunk or DEFAULT_CHUNK) if spec.execution == "chunked" else None


def parallel(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """All timesteps at once.

    Args:
        q, k: ``[…, T, d]``.
        v: ``[…, T, e]``.
        log_decay: log a_0 + … + log a_t at t, ``[…, T]``; it may broadcast.

    Returns:
        o, ``[…, T, e]``.
    """
    between = log_decay.unsqueeze(-1) - log_decay.unsqueeze(-2)  # a_{s+1} ⋯ a_t, row t, column s
    future = ~causal_mask(log_decay.shape[-1], log_decay)
    return (q @ k.transpose(-1, -2) * between.masked_fill(future, float("-inf")).exp()) @ v


def chunked(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, chunk: int) -> Tensor:
    """The same in chunks of C timesteps.

    Args:
        q, k: ``[B, H, T, d]``.
        v: ``[B, H, T, e]``.
        log_decay: as for :func:`parallel`, but beginning anew in each chunk: ``[B, H, T/C, C]``,
            of which all but the last may broadcast.
        chunk: C; need not divide T.

    Returns:
        o, ``[B, H, T, e]``.
    """
    timesteps = q.shape[2]
    q, k, v = (split_chunks(x, chunk, -2) for x in (q, k, v))  # [B, H, T/C, C, d]
    last = log_decay[..., -1:]
    to_end = (last - log_decay).exp().unsqueeze(-1)
    added = full_precision((k * to_end).transpose(-1, -2) @ v)  # [B, H, T/C, d, e]
    decay = last.exp().unsqueeze(-1).expand(*added.shape[:3], 1, 1)
    after = run_sequentially(_ADVANCE, decay.transpose(1, 2), added.transpose(1, 2))
    # Each chunk starts from the state after the one before it.
    before = F.pad(after, (0, 0, 0, 0, 0, 0, 1, 0)).narrow(1, 0, after.shape[1]).transpose(1, 2)
    carried = (q * log_decay.exp().unsqueeze(-1)) @ before
    return (parallel(q, k, v, log_decay) + carried).flatten(2, 3).narrow(2, 0, timesteps)


def of_fixed_decay(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, chunk: int | None) -> Tensor:
    """Either form, where the decay is the same at every timestep and so in every chunk.

    Args:
        q, k, v: as for :func:`chunked`.
        log_decay: log a_0 + … + log a_t at t, of each head or of all alike: ``[H, T]`` or ``[T]``,
            with ``chunk`` ``[H, C]`` or ``[C]``.
        chunk: C; None for the parallel form.

    Returns:
        o, ``[B, H, T, e]``.
    """
    if chunk is None:
        return parallel(q, k, v, log_decay)
    return chunked(q, k, v, log_decay.unsqueeze(-2), chunk)


_ADVANCE = Advance()


def split_chunks(x: Tensor, chunk: int, dim: int) -> Tensor:
    """Cut (negative) ``dim`` into chunks, ``[…, T/C, C, …]``, padded by zeros at the end."""
    missing = -x.shape[dim] % chunk
    if missing:
        x = F.pad(x, (0, 0) * (-dim - 1) + (0, missing))
    return torch.unflatten(x, dim, (-1, chunk))


def forward_flops(timesteps: int, chunk: int | None, key_size: int, value_size: int) -> int:
    """FLOPs of the products of one head of one sequence; ``chunk`` None: parallel.

    Parallel: 2·T²·(d + e), the masked half counted. Chunked: per chunk 2·C²·(d + e) within, and
    2·C·d·e for the state added and for the state read.
    """
    if chunk is None:
        return 2 * timesteps**2 * (key_size + value_size)
    chunks = -(-timesteps // chunk)
    within = 2 * chunk**2 * (key_size + value_size)
    return chunks * (within + 4 * chunk * key_size * value_size)
