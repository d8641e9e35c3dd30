"""A diagonal, complex state-space model: the LRU (Orvieto et al. 2023), akin to S5 (Smith et al.).

::

    h_t = Λ h_{t-1} + γ⊙(B x_t)      y_t = Re(C h_t) + D⊙x_t      out = GLU(W gelu(y_t))
    Λ = exp(-exp(ν) + i·exp(θ))      γ = √(1 - |Λ|²)

|Λ| < 1 for any ν, so the state cannot grow. Λ begins uniformly in a ring of radius 0.9 to 0.999,
with angles up to π/10. B and C are complex ``[N, D]`` and ``[D, N]``, kept as real matrices twice
as large.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.families.residual_stack import Mixer, MixerState, ResidualStack
from seqprof.workloads.families.scan import LinearRecurrence, full_precision

_RADII = (0.9, 0.999)
_LARGEST_ANGLE = math.pi / 10


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of state-space layers; N is ``state_size`` (default: hidden_size)."""
    states = spec.state_size or spec.hidden_size
    sequential = spec.execution == "sequential"
    return ResidualStack(
        spec, input_size, lambda: DiagonalSSM(spec.hidden_size, states, sequential=sequential)
    )


class DiagonalSSM(Mixer):
    """One layer: D features, N complex states."""

    def __init__(self, size: int, states: int, *, sequential: bool) -> None:
        super().__init__()
        low, high = _RADII
        radius = (torch.rand(states) * (high**2 - low**2) + low**2).sqrt()
        self.log_decay = nn.Parameter((-radius.log()).log())
        self.log_angle = nn.Parameter((_LARGEST_ANGLE * torch.rand(states)).clamp(min=1e-4).log())
        self.enter = nn.Linear(size, 2 * states, bias=False)
        self.leave = nn.Linear(2 * states, size, bias=False)
        self.skip = nn.Parameter(torch.randn(size))
        self.gate = nn.Linear(size, 2 * size)
        self.recurrence = LinearRecurrence(sequential=sequential)
        self.timestep_path = "recurrence.advance" if sequential else None
        self._size, self._states = size, states

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state to carry on."""
        decay = self.log_decay.exp()
        transition = torch.polar((-decay).exp(), self.log_angle.exp())  # Λ, [N]
        scale = (-torch.expm1(-2 * decay)).sqrt()  # γ, without the cancellation in 1 - |Λ|²
        real, imaginary = full_precision(self.enter(x)).chunk(2, -1)
        driven = torch.complex(real * scale, imaginary * scale)  # [B, T, N]
        along = transition.expand(1, x.shape[1], -1)
        h = torch.view_as_real(self.recurrence(along, driven))  # [B, T, N, 2]
        y = full_precision(self.leave(h.flatten(-2))) + self.skip * x
        return F.glu(self.gate(F.gelu(y)), -1), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·(2N·D in, 2N·D out, 2D·D gate)."""
        products = 4 * self._states * self._size + 2 * self._size**2
        return 2 * batch_size * timesteps * products
