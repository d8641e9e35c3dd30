"""Rotary positions (Su et al. 2021): pairs of features turned by an angle that grows with t."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 10_000.0


def rotation_angles(timesteps: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin, each ``[T, width // 2]``, on the device of ``like``; float32 at least."""
    pairs, dtype = width // 2, torch.promote_types(like.dtype, torch.float32)
    exponents = torch.arange(pairs, device=like.device, dtype=dtype) / pairs
    times = torch.arange(timesteps, device=like.device, dtype=dtype)
    angles = torch.outer(times, _BASE**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the feature pairs of ``[…, T, d]`` by their timestep's angles ``[T, d // 2]``."""
    pairs = cos.shape[-1]
    first, second, odd = x.tensor_split((pairs, 2 * pairs), -1)
    turned = (first * cos - second * sin, first * sin + second * cos, odd)
    return torch.cat(turned, -1).to(x.dtype)
