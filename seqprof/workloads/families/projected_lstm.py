"""LSTM with a projection (Sak et al. 2014), one timestep: what ``nn.LSTM(proj_size=…)`` repeats.

::

    c_t = f⊙c_{t-1} + i⊙g      h_t = W_hr (o⊙tanh c_t)      gates from x_t and the short h_{t-1}
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ProjectedLSTMCell(nn.Module):
    """Parameters have the names, shapes, order and first values of ``nn.LSTM``'s."""

    def __init__(self, input_size: int, hidden_size: int, projection: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)

        def uniform(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

        self.weight_ih = uniform(4 * hidden_size, input_size)
        self.weight_hh = uniform(4 * hidden_size, projection)
        self.bias_ih = uniform(4 * hidden_size)
        self.bias_hh = uniform(4 * hidden_size)
        self.weight_hr = uniform(projection, hidden_size)
        self.hidden_size = hidden_size
        self.projection = projection

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Advance ``x`` ``[B, I]`` and (h ``[B, P]``, c ``[B, H]``) by one timestep."""
        h, c = state
        gates = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(
            h, self.weight_hh, self.bias_hh
        )
        enter, forget, value, output = gates.chunk(4, -1)
        c = forget.sigmoid() * c + enter.sigmoid() * value.tanh()
        return F.linear(output.sigmoid() * c.tanh(), self.weight_hr), c
