"""Count the tensor operations that a step launches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

#: These allocate memory and launch nothing.
_ALLOCATIONS = frozenset(
    {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty"}
)
#: Operations that compute a layer whose products no formula of torch's counts.
_HIDING = ("_rnn", "attention", "mkldnn", "onednn")
#: These return views without saying so in their schema.
_UNDECLARED_VIEWS = frozenset(
    {
        "aten::unsafe_split",
        "aten::unsafe_split_with_sizes",
        "aten::unsafe_chunk",
        "aten::_unsafe_view",
    }
)


@cache
def launches(operator: torch._ops.OpOverload) -> bool:
    """Whether the operator computes something, rather than views or describes a tensor."""
    schema = operator._schema
    if schema.name in _ALLOCATIONS or schema.name in _UNDECLARED_VIEWS:
        return False
    views = [r for r in schema.returns if r.alias_info is not None and not r.alias_info.is_write]
    return not views


class FlopCount:
    """FLOPs of matrix products, convolutions and attention, by torch's own formulas.

    Attributes:
        total: as far as they are known.
        unknown: operations that hide products and have no formula there, as fused RNNs.
    """

    def __init__(self) -> None:
        self.total = 0
        self.unknown: set[str] = set()

    def add(
        self,
        operator: torch._ops.OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        """Take in one call."""
        formula = flop_registry.get(operator._overloadpacket)
        if formula is not None:
            try:
                self.total += int(formula(*args, **kwargs, out_val=result))
            except (AssertionError, TypeError, ValueError, IndexError):  # a shape it does not know
                self.unknown.add(operator._schema.name)
        elif any(word in operator._schema.name for word in _HIDING):
            self.unknown.add(operator._schema.name)


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts launching operations below autograd, on the thread of the step and of autograd.

    Use as a context manager; :attr:`count` may be read at any time. It slows the step several
    times over, so the counted step is never a timed one.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0
        self.flops = FlopCount()

    def read(self) -> int:
        """The count so far; has the shape of a clock, so marks can be taken in operations."""
        return self.count

    def begin_phase(self, phase: str) -> None:
        """Told which phase of the step the next operations are of."""

    def note(self, func: torch._ops.OpOverload, args: tuple[Any, ...], result: Any) -> None:
        """Told of each launching operation."""

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        call: Callable[..., Any] = func
        result = call(*args, **(kwargs or {}))
        if launches(func):
            self.count += 1
            self.note(func, args, result)
            self.flops.add(func, args, kwargs or {}, result)
        return result


@dataclass(slots=True)
class OperationTally:
    """What one operation did in one phase.

    Attributes:
        calls: how often it was launched.
        sliced: of these calls, backwards of taking a single timestep off a whole sequence.
        sliced_bytes: size of the gradients, each as large as the sequence, that those filled.
    """

    calls: int = 0
    sliced: int = 0
    sliced_bytes: int = 0


class OperationTallies(OperationCounter):  # type: ignore[no-untyped-call]
    """Counts operations by phase and name, and finds sequences that are taken apart by indexing.

    Args:
        timesteps: T of the step.
    """

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self._timesteps = timesteps
        self._phase = ""
        self.by_phase: dict[str, dict[str, OperationTally]] = {}

    def begin_phase(self, phase: str) -> None:
        self._phase = phase

    def note(self, func: torch._ops.OpOverload, args: tuple[Any, ...], result: Any) -> None:
        tallies = self.by_phase.setdefault(self._phase, {})
        tally = tallies.setdefault(func._schema.name, OperationTally())
        tally.calls += 1
        if is_timestep_gradient(func._schema.name, args, self._timesteps):
            tally.sliced += 1
            tally.sliced_bytes += result.numel() * result.element_size()


def is_timestep_gradient(name: str, args: tuple[Any, ...], timesteps: int) -> bool:
    """Whether a call is the backward of ``x[:, t]`` or ``x[:, t:t+1]``, x having ``timesteps``.

    The two take the gradient, the sizes of x, the dimension, and the index, or the ends and the
    stride of the slice.
    """
    if name == "aten::select_backward":
        return bool(args[1][args[2]] == timesteps)
    if name == "aten::slice_backward":
        return bool(args[1][args[2]] == timesteps and args[4] - args[3] == 1)
    return False
