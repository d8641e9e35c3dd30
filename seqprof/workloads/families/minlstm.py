"""minLSTM (Feng et al. 2024, "Were RNNs All We Needed?", section 3.2 and appendix B).

::

    f_t = σ(W_f x_t + b_f)      i_t = σ(W_i x_t + b_i)      h̃_t = g(W_h x_t + b_h)
    f′_t = f_t / (f_t + i_t)    i′_t = i_t / (f_t + i_t)    h_t = f′_t⊙h_{t-1} + i′_t⊙h̃_t

As in minGRU the gates do not look at h_{t-1}; the scan runs on logarithms. With
d = log i - log f, log f′ = -softplus(d) and log i′ = -softplus(-d), so nothing is divided.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body
from seqprof.workloads.families.mingru import log_positive, scan_logarithms
from seqprof.workloads.families.residual_stack import Mixer, MixerState, ResidualStack
from seqprof.workloads.families.scan import LinearRecurrence, full_precision


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return residual blocks of minLSTM layers."""
    sequential = spec.execution == "sequential"
    return ResidualStack(spec, input_size, lambda: MinLSTM(spec.hidden_size, sequential=sequential))


class MinLSTM(Mixer):
    """One layer, D features in and out."""

    def __init__(self, size: int, *, sequential: bool) -> None:
        super().__init__()
        self.gates = nn.Linear(size, 3 * size)
        self.recurrence = LinearRecurrence(sequential=True) if sequential else None
        self.timestep_path = "recurrence.advance" if sequential else None
        self._size = size

    def forward(self, x: Tensor, state: MixerState = ()) -> tuple[Tensor, MixerState]:
        """See :class:`Mixer`; there is no state."""
        forget, enter, candidate = full_precision(self.gates(x)).chunk(3, -1)
        difference = F.logsigmoid(enter) - F.logsigmoid(forget)
        log_candidate = log_positive(candidate)
        if self.recurrence is not None:
            b = difference.sigmoid() * log_candidate.exp()
            return self.recurrence((-difference).sigmoid(), b), ()
        log_b = F.logsigmoid(difference) + log_candidate
        return scan_logarithms(F.logsigmoid(-difference), log_b), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: 2·B·T·3D·D."""
        return 2 * batch_size * timesteps * 3 * self._size**2
