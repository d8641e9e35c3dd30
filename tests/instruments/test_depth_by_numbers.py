"""The recorder against numbers alone: change what one operation wrote, and see who notices.

No storage, view or in-place operation is looked at here. A real step runs on the processor; after
each operation noise is added to what it wrote. In another run one operation's noise is another
one: the operations that then compute something else are those that its numbers reach. The longest
chain of operations that reach each other is the depth, as docs/metrics.md defines it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seqprof.analysis.depth.graph import cost
from seqprof.instruments.depth import DepthRecorder
from seqprof.spec import ModelSpec
from seqprof.workloads.registry import find_family

SIZE = 4
#: Phases of the chain.
EVERY = ("forward", "loss", "backward")


class Noisy(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds noise to what every operation writes; ``altered`` is the one whose noise differs."""

    def __init__(self, altered: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase = "forward"
        self.phases: list[str] = []
        self.written: list[list[Tensor]] = []
        self._altered = altered

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if is_tensor(x)}
        outputs = [x for x in tree_leaves(result) if is_tensor(x)]
        if not func._schema.is_mutable:  # a view shows what others wrote
            outputs = [x for x in outputs if x.untyped_storage()._cdata not in given]
        if not outputs or "empty" in func._schema.name:
            return result
        number = len(self.written)
        self.phases.append(self.phase)
        self.written.append([x.clone() for x in outputs])
        seed = number + (1_000_000 if number == self._altered else 0)
        noise = torch.Generator().manual_seed(seed)
        for x in outputs:
            if x.is_floating_point():
                x += 0.1 * torch.randn(x.shape, generator=noise, dtype=x.dtype)
        return result


def is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def run(mode: Any, module: nn.Module, inputs: Tensor) -> None:
    module.zero_grad(set_to_none=True)
    with mode:
        outputs = module(inputs)
        mode.phase = "loss"
        loss = outputs.sum()
        mode.phase = "backward"
        loss.backward()


def reached(module: nn.Module, inputs: Tensor) -> tuple[list[str], list[list[int]]]:
    """The phase of each operation, and the earlier ones whose numbers reach it."""
    usual = Noisy()
    run(usual, module, inputs)
    count = len(usual.written)
    earlier: list[list[int]] = [[] for _ in range(count)]
    for source in range(count):
        other = Noisy(source)
        run(other, module, inputs)
        for number in range(source + 1, count):
            pairs = zip(other.written[number], usual.written[number], strict=True)
            if any(not torch.equal(x, y) for x, y in pairs):
                earlier[number].append(source)
    return usual.phases, earlier


def longest(phases: list[str], earlier: list[list[int]], wanted: tuple[str, ...]) -> int:
    depth = [0] * len(phases)
    for number, phase in enumerate(phases):
        if phase in wanted:
            depth[number] = 1 + max((depth[source] for source in earlier[number]), default=0)
    return max(depth)


class Looped(nn.Module):
    """A cell called for each timestep."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], SIZE)
        state: Any = (h, x.new_zeros(x.shape[0], SIZE)) if isinstance(self.cell, nn.LSTMCell) else h
        outputs: list[Tensor] = []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1)


class Outputs(nn.Module):
    """A family's body, without its state."""

    def __init__(self, **model: Any) -> None:
        super().__init__()
        spec = ModelSpec.model_validate({"hidden_size": SIZE, **model})
        self.body = find_family(str(spec.name)).load_builder()(spec, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.body(x)[0]
        return outputs


def recorded(module: nn.Module, inputs: Tensor) -> DepthRecorder:
    recorder = DepthRecorder()
    with torch.device("meta"):
        run(recorder, module.to("meta"), inputs.to("meta"))
    return recorder


def cells() -> dict[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[int, int, int]]]]:
    """Each with depth, forward's and backward's, as docs/depth.md has them."""
    return {
        "lstm": (
            lambda: Looped(nn.LSTMCell(SIZE, SIZE)),
            lambda t: (15 * t - 2, 7 * t + 2, 8 * t),
        ),
        "gru": (
            lambda: Looped(nn.GRUCell(SIZE, SIZE)),
            lambda t: (18 * t - 4, 9 * t + 2, 9 * t + 1),
        ),
        "rnn": (
            lambda: Looped(nn.RNNCell(SIZE, SIZE)),
            lambda t: (6 * t + 1, 3 * t + 2, 3 * t + 1),
        ),
    }


@pytest.mark.parametrize("timesteps", [2, 3])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_numbers_pass_along_chains_as_long_as_the_recorders(name: str, timesteps: int) -> None:
    torch.manual_seed(0)
    make, expected = cells()[name]
    module, inputs = make().double(), torch.randn(3, timesteps, SIZE, dtype=torch.float64)
    phases, earlier = reached(module, inputs)
    kinds = (EVERY, ("forward",), ("backward",))
    assert tuple(longest(phases, earlier, kind) for kind in kinds) == expected(timesteps)
    graph = recorded(module, inputs).graph
    assert tuple(cost(graph, kind).depth_ops for kind in kinds) == expected(timesteps)
    assert cost(graph).work_ops == len(phases)


@pytest.mark.parametrize("model", ["mingru", "minlstm", "mamba", "retention", "tcn"])
def test_the_recorder_agrees_on_families(model: str) -> None:
    """Not sLSTM: its first maximum is with -inf, through which no number passes."""
    torch.manual_seed(0)
    module = Outputs(name=model, heads=2 if model == "retention" else None).double()
    inputs = torch.randn(2, 2, SIZE, dtype=torch.float64)
    phases, earlier = reached(module, inputs)
    assert cost(recorded(module, inputs).graph).depth_ops == longest(phases, earlier, EVERY)
