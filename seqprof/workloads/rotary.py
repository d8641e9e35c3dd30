"""Rotary positions (Su et al. 2021): pairs of features turned by an angle that grows with t."""

from __future__ import annotations

import torch
from torch import Tensor

_BASE = 10_000.0


def rotation_angles(timesteps: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of the angles, each ``[T, width // 2]`` in float32, on the device of ``like``."""
    pairs = width // 2
    exponents = torch.arange(pairs, device=like.device, dtype=torch.float32) / pairs
    times = torch.arange(timesteps, device=like.device, dtype=torch.float32)
    angles = torch.outer(times, _BASE**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the feature pairs of ``[…, T, d]`` by their timestep's angles ``[T, d // 2]``."""
    pairs = cos.shape[-1]
    first, second, odd = x.tensor_split((pairs, 2 * pairs), -1)
    turned = (first * cos - second * sin, first * sin + second * cos, odd)
    return torch.cat(turned, -1).to(x.dtype)
