"""Count the tensor operations that a step launches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: These allocate memory and launch nothing.
_ALLOCATIONS = frozenset(
    {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty"}
)
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


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts launching operations below autograd, on the thread of the step and of autograd.

    Use as a context manager; :attr:`count` may be read at any time. It slows the step several
    times over, so the counted step is never a timed one.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def read(self) -> int:
        """The count so far; has the shape of a clock, so marks can be taken in operations."""
        return self.count

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if launches(func):
            self.count += 1
        call: Callable[..., Any] = func
        return call(*args, **(kwargs or {}))
