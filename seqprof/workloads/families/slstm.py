"""sLSTM (Beck et al. 2024, "xLSTM", section 2.2): exponential gates and memory mixing.

::

    ĩ, f̃, z̃, õ = W x_t + R h_{t-1} + b      i = exp(ĩ)   f = σ(f̃)   z = tanh(z̃)   o = σ(õ)
    c_t = f c_{t-1} + i z      n_t = f n_{t-1} + i      h_t = o c_t / n_t

The gates look at h_{t-1}, so no scan can compute it: T timesteps follow each other. R is block
diagonal, one block per head. c and n are kept divided by exp(m_t), m_t = max(log f + m_{t-1}, ĩ);
h does not depend on m, which is therefore left out of the gradient: the gradient stays exact.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import DEFAULT_HEADS, ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.families.residual_stack import Mixer, MixerState, ResidualStack
from seqprof.workloads.families.scan import full_precision


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of sLSTM layers."""
    heads = spec.heads or DEFAULT_HEADS
    return ResidualStack(spec, input_size, lambda: SLSTM(spec.hidden_size, heads))


class SLSTMCell(nn.Module):
    """One timestep. One call is one timestep, so it can be timed."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        width = size // heads
        bound = 1 / math.sqrt(size)
        self.recurrent = nn.Parameter(torch.empty(heads, width, 4 * width).uniform_(-bound, bound))

    def forward(self, projected: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Advance by one timestep.

        Args:
            projected: W x_t + b, ``[heads, B, 4·d]``.
            state: h, c, n, m before this timestep, each ``[heads, B, d]``.

        Returns:
            h ``[heads, B, d]`` and the state after this timestep.
        """
        h, c, n, m = state
        enter, forget, value, output = torch.baddbmm(projected, h, self.recurrent).chunk(4, -1)
        # Autocast multiplies in short floats, which would round the state away.
        enter, log_f = full_precision(enter), F.logsigmoid(full_precision(forget))
        m_after = torch.maximum(log_f.detach() + m, enter.detach())
        keep, enter = (log_f + m - m_after).exp(), (enter - m_after).exp()
        c = keep * c + enter * value.tanh()
        n = keep * n + enter
        h = output.sigmoid() * (c / n)
        return h, (h, c, n, m_after)


class SLSTM(Mixer):
    """One layer, D features in and out."""

    carries_state = True
    timestep_path = "cell"

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, 4 * size)
        self.cell = SLSTMCell(size, heads)
        self._size, self._heads = size, heads

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`. The state is h, c, n, m, each ``[heads, B, d]``."""
        heads = self.project(x).unflatten(-1, (self._heads, -1))  # [B, T, heads, 4·d]
        # One copy here, or one at every timestep.
        timesteps = heads.permute(1, 2, 0, 3).contiguous().unbind(0)
        state = state or self._zeros(x)
        outputs = []
        for projected in timesteps:
            h, state = self.cell(projected, state)
            outputs.append(h)
        return torch.stack(outputs, 2).permute(1, 2, 0, 3).flatten(-2), state

    def _zeros(self, x: Tensor) -> MixerState:
        width = self._size // self._heads
        zeros = full_precision(x.new_zeros(self._heads, x.shape[0], width))
        return zeros, zeros, zeros, torch.full_like(zeros, float("-inf"))

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·(4·D² for W + 4·D²/heads for R)."""
        products = 4 * self._size**2 + 4 * self._size**2 // self._heads
        return 2 * batch_size * timesteps * products
