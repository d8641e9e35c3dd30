"""TCN: dilated causal convolutions (Bai et al. 2018, section 3).

::

    F(x) = dropout(relu(conv(dropout(relu(conv(x))))))      x = relu(x + F(x))

Block l looks 2^l timesteps apart, so the output at t sees the last 1 + 2(k-1)(2^layers - 1)
timesteps. There is no recurrence at all. The paper's weight normalisation is left out.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from seqprof.spec import ModelSpec
from seqprof.workloads.body import Body, State, refuse_packed

DEFAULT_KERNEL = 3


def build(spec: ModelSpec, input_size: int) -> Body:
    """Return the blocks; ``layers`` of them, each with two convolutions."""
    return TCNBody(spec, input_size)


class TCNBlock(nn.Module):
    """Two convolutions of one dilation, and a residual."""

    def __init__(self, input_size: int, size: int, kernel: int, dilation: int, p: float) -> None:
        super().__init__()
        self.first = nn.Conv1d(input_size, size, kernel, dilation=dilation)
        self.second = nn.Conv1d(size, size, kernel, dilation=dilation)
        self.match = nn.Identity() if input_size == size else nn.Conv1d(input_size, size, 1)
        self.dropout = nn.Dropout(p)
        self._padding = (kernel - 1) * dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, I, T]`` to ``[B, D, T]``."""
        y = x
        for convolution in (self.first, self.second):
            y = self.dropout(F.relu(convolution(F.pad(y, (self._padding, 0)))))
        return F.relu(cast(Tensor, self.match(x)) + y)


class TCNBody(Body):
    """A stack of blocks, each looking twice as far as the one before."""

    def __init__(self, spec: ModelSpec, input_size: int) -> None:
        super().__init__()
        self._kernel = spec.kernel_size or DEFAULT_KERNEL
        sizes = [input_size] + [spec.hidden_size] * (spec.layers - 1)
        self.blocks = nn.ModuleList(
            TCNBlock(size, spec.hidden_size, self._kernel, 2**level, spec.dropout)
            for level, size in enumerate(sizes)
        )
        self.output_size = spec.hidden_size
        self._sizes = sizes

    def forward(
        self,
        inputs: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        packed: bool = False,
    ) -> tuple[Tensor, State]:
        """See :meth:`Body.forward`; there is no state. Padding comes after all that counts.

        Raises:
            SeqprofError: ``packed``: convolutions compute on rectangles.
        """
        refuse_packed(packed, "tcn")
        x = inputs.transpose(1, 2)
        for block in self.blocks:
            x = self.run_block(block, x)
        return x.transpose(1, 2), ()

    def forward_flops(self, batch_size: int, timesteps: int) -> int:
        """FLOPs: Σ over blocks of 2·B·T·(k·I·D + k·D² + I·D where I ≠ D)."""
        size, kernel = self.output_size, self._kernel
        products = sum(
            kernel * size * (entering + size) + (entering * size if entering != size else 0)
            for entering in self._sizes
        )
        return 2 * batch_size * timesteps * products
