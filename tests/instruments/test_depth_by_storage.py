"""Where 18·T + 5 comes from: a tool that tells tensors apart by their storage, and keeps them.

It shares no code with seqprof's recorder, so that its counts are evidence of their own
(docs/depth.md, "Why not 18·T + 5").
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqprof.analysis.depth.laws import fit_law


class ByStorage(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """An operation comes after whatever last wrote to a storage of any of its arguments.

    Views count as none, allocations do. With ``keep_tensors`` it keeps every tensor alive, so that
    autograd may not take a gradient for its own and copies it; else it keeps the storages alone.
    """

    def __init__(self, keep_tensors: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.depths: dict[int, int] = {}
        self._keep_tensors = keep_tensors
        self._kept: list[Any] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        results = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        read = {key(tensor) for tensor in tensors}
        if func._schema.is_mutable or any(key(tensor) not in read for tensor in results):
            depth = 1 + max((self.depths.get(storage, 0) for storage in read), default=0)
            self.depths.update({key(tensor): depth for tensor in results})
        both = (*tensors, *results)
        self._kept.append(both if self._keep_tensors else [t.untyped_storage() for t in both])
        return result

    @property
    def depth(self) -> int:
        return max(self.depths.values())


def key(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def law(cell: type[nn.RNNCellBase], keep_tensors: bool, *, forward: bool = False) -> str | None:
    """Depth of a loop over the cell with the sum of all states as the loss."""
    found = {}
    for timesteps in (4, 5, 7, 12):
        module = cell(8, 8).to("meta")  # type: ignore[call-arg]
        x = torch.empty(2, timesteps, 8, device="meta")
        counter = ByStorage(keep_tensors)
        with torch.device("meta"), counter:
            zeros = torch.zeros(2, 8)
            state: Any = (zeros, torch.zeros(2, 8)) if cell is nn.LSTMCell else zeros
            outputs = []
            for x_t in x.unbind(1):
                state = module(x_t, state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            output = torch.stack(outputs, 1)
            if not forward:
                output.sum().backward()  # type: ignore[no-untyped-call]
        found[timesteps] = counter.depth
    return fit_law(found).text


@pytest.mark.parametrize(
    ("cell", "with_copies", "without"),
    [
        (nn.LSTMCell, "18·T + 5", "18·T + 3"),
        (nn.GRUCell, "20·T + 6", "20·T + 4"),
        (nn.RNNCell, "6·T + 6", "6·T + 4"),
    ],
)
def test_counts_by_storage(cell: type[nn.RNNCellBase], with_copies: str, without: str) -> None:
    """Two more where gradients are copied: the copy's allocation, and the copy."""
    assert law(cell, keep_tensors=True) == with_copies
    assert law(cell, keep_tensors=False) == without


def test_the_forward_of_an_lstm_by_storage() -> None:
    assert law(nn.LSTMCell, keep_tensors=True, forward=True) == "10·T + 2"
