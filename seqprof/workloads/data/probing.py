"""Which dimension is time where no module says so: told by several batches, or by trying.

Sizes that change from batch to batch are along time; no sequence of a batch may change another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from seqprof.workloads.batches import Batch
from seqprof.workloads.data.evidence import AxisReading, candidates
from seqprof.workloads.structures import Path, leaves, map_leaves


def by_variation(batches: Sequence[Batch]) -> AxisReading | None:
    """Find T as the one dimension whose size changes from batch to batch.

    One smaller batch at the end of the data changes B as well: it is not taken for T.
    """
    for place, leaf in candidates(batches[0])[:1]:
        if not isinstance(leaf, Tensor) or leaf.dim() < 2:
            return None
        others = [dict(candidates(batch)).get(place) for batch in batches]
        shapes = [other.shape for other in others if isinstance(other, Tensor)]
        if len({len(shape) for shape in shapes}) > 1 or len(shapes) < len(batches):
            return None
        sizes = [[shape[dim] for shape in shapes] for dim in (0, 1)]
        varying = [dim for dim in (0, 1) if len(set(sizes[dim])) > 1]
        if len(varying) == 1 and _varies_as_time(sizes[varying[0]]):
            time = varying[0]
            seen = ", ".join(str(size) for size in sizes[time])
            why = f"the sizes of the first batches: {seen} along dimension {time}"
            return AxisReading(place, time, 1 - time, why, kind="sizes")
    return None


def _varies_as_time(sizes: Sequence[int]) -> bool:
    others = {size for size in sizes if size != sizes[0]}
    return max(sizes) > sizes[0] or len(others) > 1


def narrowed(batch: Batch) -> Batch | None:
    """Return a square batch with one index less along its first dimension; None if not square.

    Where T and B are equal, what modules see of such a batch tells them apart.
    """
    tensors = [leaf for _, leaf in candidates(batch) if isinstance(leaf, Tensor)]
    first = next((t for t in tensors if t.dim() > 1), None)
    if first is None or first.shape[0] != first.shape[1] or first.shape[0] < 2:
        return None
    size = first.shape[0]

    def one(_path: Path, leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dim() and leaf.shape[0] == size:
            return leaf.narrow(0, 0, size - 1)
        return leaf

    inputs, targets = map_leaves(one, batch.inputs), map_leaves(one, batch.targets)
    return replace(batch, inputs=inputs, targets=targets, lengths=None)


def mixes_along(output: Callable[[Tensor], Any], source: Tensor, dim: int) -> bool | None:
    """Whether a change at one index of ``dim`` of the input changes the output at others.

    Along the sequences of a batch it does not, along time a sequence model's does. None where that
    cannot be seen: the output has no such dimension, or does not change at all.
    """
    size = source.shape[dim]
    if size < 2:
        return None
    changed = source.clone()
    changed.select(dim, 0).copy_(source.select(dim, 1))
    before, after = output(source), output(changed)
    pairs = zip(leaves(before), leaves(after), strict=True)
    for (_, a), (_, b) in pairs:
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape):
            continue
        if a.dim() > dim and a.shape[dim] == size:
            differs = (a != b).movedim(dim, 0).flatten(1).any(1)
            if bool(differs.any()):
                return bool(differs[1:].any())
    return None


def by_independence(batch: Batch, output: Callable[[Batch], Any]) -> AxisReading | None:
    """Find the dimension of the sequences: no sequence of a batch may change another.

    Args:
        output: gives what the model returns for a batch, the same for the same batch.
    """
    for place, leaf in candidates(batch)[:1]:
        if not isinstance(leaf, Tensor) or leaf.dim() < 2 or 1 in leaf.shape[:2]:
            return None

        def run(changed: Tensor, place: Path = place) -> Any:
            inputs = map_leaves(
                lambda path, one: changed if path == place else one, batch.inputs, ("inputs",)
            )
            return output(replace(batch, inputs=inputs))

        mixes = [mixes_along(run, leaf, dim) for dim in (0, 1)]
        if mixes in ([False, True], [True, False]):
            time = mixes.index(True)
            why = f"no index of dimension {1 - time} changes the output at another"
            return AxisReading(place, time, 1 - time, why)
    return None
