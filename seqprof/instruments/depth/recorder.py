"""Record the graph of operations that a training step runs: what each reads and writes.

An operation depends on those that last wrote what it reads. Tensors are told apart by the bytes of
their storage that they cover (:mod:`.regions`), so a view is what it views, an in-place operation
continues the chain of what it changes, and two slices of one storage are two things. That an
operation may not overwrite what another still reads (write after read, write after write) is an
order that memory imposes, not a flow of data: another buffer would remove it, so it counts not.
What would follow from whole storages, without such distinctions, is kept beside it.

Not counted: views, allocations, operations on the host's own tensors. ``ones_like`` and its kin
take a tensor for its shape alone and consume nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from seqprof.analysis.depth.operation_graph import OperationGraph
from seqprof.instruments.depth.regions import (
    Region,
    covers,
    is_cell,
    overlaps,
    region_of,
    touched_bytes,
    whole,
)

#: These allocate and compute nothing.
_ALLOCATIONS = frozenset(
    {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted"}
)
#: These take a tensor for its shape, dtype and device alone.
_SHAPE_ONLY = frozenset(
    {
        *("ones_like", "zeros_like", "full_like", "rand_like", "randn_like", "randint_like"),
        *("new_zeros", "new_ones", "new_full"),
    }
)
#: In-place operations that do not read what they overwrite.
_OVERWRITES = frozenset(
    {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_"}
)
#: One operation that computes a chain along a dimension, and where its arguments say which.
_SCANS = {"cumsum": 1, "cumprod": 1, "logcumsumexp": 1, "cummax": 1, "cummin": 1}
#: Operators of any other library are named with it: what is in them is not known.
_OWN_LIBRARIES = frozenset({"aten", "prims", "prim"})


@dataclass(frozen=True, slots=True)
class _Traits:
    """What an operator's schema says."""

    name: str
    #: Whether it does more than allocate, or change a tensor's shape and strides in place.
    computes: bool
    shape_only: bool
    #: Position or name of arguments that it writes, and of those that it writes without reading.
    written: frozenset[int | str]
    overwritten: frozenset[int | str]
    scan_argument: int | None


@cache
def _traits(operator: Any) -> _Traits:
    schema = getattr(operator, "_schema", None)
    if schema is None:  # a higher-order operator: one operation, and a chain may hide in it
        nothing: frozenset[int | str] = frozenset()
        return _Traits(f"higher_order::{operator}", True, False, nothing, nothing, None)
    library, _, name = schema.name.partition("::")
    written, overwritten = set(), set()
    for index, argument in enumerate(schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        written |= {index, argument.name}
        if argument.kwarg_only or name in _OVERWRITES:
            overwritten |= {index, argument.name}
    short = name.lstrip("_").removesuffix("_helper").removesuffix("_")
    return _Traits(
        name=name if library in _OWN_LIBRARIES else schema.name,
        computes=name not in _ALLOCATIONS and torch.Tag.inplace_view not in operator.tags,
        shape_only=name in _SHAPE_ONLY,
        written=frozenset(written),
        overwritten=frozenset(overwritten),
        scan_argument=_SCANS.get(short),
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)


def _name_alone(storage: torch.UntypedStorage) -> object:
    """What keeps a storage's address from naming another, but not its memory."""
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


class Storage:
    """A storage and who last wrote each region of it, the newest last.

    It is kept alive so that its address names nothing else; a meta storage holds no memory. Of a
    real one only the name is kept, its memory is the script's.

    Attributes:
        last: the operation that last wrote to any part of it.
    """

    __slots__ = ("_filled", "_grid", "_keep", "_nbytes", "_writes", "last")

    def __init__(self, storage: torch.UntypedStorage, *, real: bool = False) -> None:
        self._keep: object = _name_alone(storage) if real else storage
        self._nbytes = storage.nbytes()
        self._clear(None)

    def _clear(self, filled: int | None) -> None:
        """Forget all but the operation that wrote the whole of it."""
        self._filled = self.last = filled
        self._writes: dict[Region, int] = {}
        # Dimensions of the regions written since, while they are cells of one grid: then none of
        # them need be compared with another, and a buffer of T timesteps costs T, not T².
        self._grid: tuple[tuple[int, int], ...] | None = None

    def writers(self, region: Region | None) -> Iterator[int]:
        """Yield the operations whose output is in ``region``."""
        if region is None:
            return
        if region[1] == self._grid and is_cell(region):
            writers = self._writes.get(region, self._filled)
            if writers is not None:
                yield writers
            return
        for written, operation in reversed(self._writes.items()):
            if overlaps(written, region):
                yield operation
                if covers(written, region):
                    return
        if self._filled is not None:
            yield self._filled

    def write(self, region: Region | None, operation: int) -> None:
        """Note that ``operation`` wrote ``region``."""
        if region is None:
            return
        if region == whole(self._nbytes):
            self._clear(operation)
            return
        if not self._writes:
            self._grid = region[1] if is_cell(region) else None
        elif region[1] != self._grid or not is_cell(region):
            self._grid = None
        self._writes.pop(region, None)  # so that it becomes the newest
        self._writes[region] = operation
        self.last = operation


class DepthRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operations on one kind of device while it is entered.

    Set :attr:`phase` to the name of the phase that is about to run.

    Args:
        device_type: ``meta``, or another whose fake tensors have shapes alone.
        real: the tensors are a script's own; the caller tells of each operation by :meth:`record`.
    """

    #: Let higher-order operators (scans) come here too.
    supports_higher_order_operators = True

    def __init__(self, device_type: str = "meta", *, real: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._real = real
        self._device_type = device_type
        self.graph = OperationGraph()
        self.phase = "forward"
        self._storages: dict[int, Storage] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        call: Callable[..., Any] = func
        named = kwargs or {}
        result = call(*args, **named)
        self.record(func, args, named, result)
        return result

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Take in an operation that has run."""
        traits = _traits(func)
        reads, writes, inputs = [], [], {}
        for key, value in (*enumerate(args), *kwargs.items()):
            for tensor in _tensors(value):
                inputs[tensor.untyped_storage()._cdata] = tensor
                if key in traits.written:
                    writes.append(tensor)
                if key not in traits.overwritten and not traits.shape_only:
                    reads.append(tensor)
        writes += [t for t in _tensors(result) if t.untyped_storage()._cdata not in inputs]
        # Without a write and without anything new it is a view (or a question to the host).
        if not traits.computes or not any(t.device.type == self._device_type for t in writes):
            return
        read, written = self._places(reads), self._places(writes)
        last = (self._storage(tensor).last for tensor in inputs.values())
        operation = self.graph.add(
            traits.name,
            self.phase,
            {writer for storage, region in read for writer in storage.writers(region)},
            before={writer for writer in last if writer is not None},
            flops=_flops(func, args, kwargs, result),
            bytes_moved=sum(touched_bytes(region) for _, region in (*read, *written)),
            scan_length=_scan_length(traits, args, func),
        )
        for storage, region in written:
            storage.write(region, operation)

    def _places(self, tensors: Iterable[Tensor]) -> list[tuple[Storage, Region | None]]:
        return [(self._storage(tensor), region_of(tensor)) for tensor in tensors]

    def _storage(self, tensor: Tensor) -> Storage:
        storage = tensor.untyped_storage()
        known = self._storages.get(storage._cdata)
        if known is None:
            known = self._storages[storage._cdata] = Storage(storage, real=self._real)
        return known


def _flops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """FLOPs by torch's own formulas: matrix products, convolutions, attention; 0 for the rest."""
    formula = flop_registry.get(getattr(func, "_overloadpacket", None))
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=result))


def _scan_length(traits: _Traits, args: tuple[Any, ...], func: Any) -> int | None:
    """How many elements the chain hidden in the operation has; None where there is none."""
    if traits.name.endswith("::associative_scan"):  # a plain scan may be no tree: its chain is T
        return max((t.shape[0] for t in _tensors(args) if t.dim()), default=1)
    if traits.scan_argument is None:
        return None
    tensor: Tensor = args[0]
    return tensor.shape[args[traits.scan_argument]] if tensor.dim() else 1
