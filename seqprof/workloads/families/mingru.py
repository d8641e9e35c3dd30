"""minGRU (Feng et al. 2024, "Were RNNs All We Needed?", section 3.1 and appendix B).

::

    z_t = σ(W_z x_t + b_z)      h̃_t = g(W_h x_t + b_h)      h_t = (1 - z_t)⊙h_{t-1} + z_t⊙h̃_t

The gates do not look at h_{t-1}, so the recurrence is linear in h and a scan computes all h_t at
once. It runs on logarithms, which cannot underflow; g(x) = x + 1/2 for x ≥ 0 and σ(x) below keeps
h positive. h_{-1} = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.families.residual_stack import Mixer, MixerState, ResidualStack
from seqprof.workloads.families.scan import (
    LinearRecurrence,
    associative_scan,
    combine_log_linear,
    full_precision,
)


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of minGRU layers."""
    sequential = spec.execution == "sequential"
    return ResidualStack(spec, input_size, lambda: MinGRU(spec.hidden_size, sequential=sequential))


def log_positive(x: Tensor) -> Tensor:
    """log g(x)."""
    # relu, so that the branch not taken has a finite gradient.
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), F.logsigmoid(x))


def scan_logarithms(log_a: Tensor, log_b: Tensor) -> Tensor:
    """h of h_t = a_t⊙h_{t-1} + b_t for positive a and b, all ``[B, T, D]``."""
    return associative_scan(combine_log_linear, (log_a, log_b))[1].exp()


class MinGRU(Mixer):
    """One layer, D features in and out."""

    def __init__(self, size: int, *, sequential: bool) -> None:
        super().__init__()
        self.gates = nn.Linear(size, 2 * size)
        self.recurrence = LinearRecurrence(sequential=True) if sequential else None
        self.timestep_path = "recurrence.advance" if sequential else None
        self._size = size

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state."""
        update, candidate = full_precision(self.gates(x)).chunk(2, -1)
        log_candidate = log_positive(candidate)
        if self.recurrence is not None:
            return self.recurrence((-update).sigmoid(), update.sigmoid() * log_candidate.exp()), ()
        return scan_logarithms(F.logsigmoid(-update), F.logsigmoid(update) + log_candidate), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·2D·D."""
        return 2 * batch_size * timesteps * 2 * self._size**2
