"""Which bytes of its storage a tensor covers, and whether two tensors share any.

Two views of one storage need not share an element: the four gates of an LSTM are slices of one
matrix product. To know what an operation really consumes, regions are compared, not storages.

A region is an offset and dimensions (size, stride), all in bytes, outermost first, as few as
possible. Comparing proceeds by rows: where the outer stride of one is S, both are seen as a range
of rows of S bytes and a region within a row. Where that cannot be done (a region that runs over
the end of its rows, or overlaps itself) the answer is the safe one: they overlap, neither covers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from torch import Tensor

#: Offset, then (size, stride) from the outermost dimension to the innermost; in bytes.
Region: TypeAlias = tuple[int, tuple[tuple[int, int], ...]]


def region_of(tensor: Tensor) -> Region | None:
    """Return what ``tensor`` covers of its storage; None where it has no element."""
    return _region(tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.itemsize)


@lru_cache(maxsize=65_536)
def _region(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, itemsize: int
) -> Region | None:
    if 0 in shape:
        return None
    dims = [(n, s * itemsize) for n, s in zip(shape, strides, strict=True) if n > 1 and s]
    merged = [(itemsize, 1)]
    for size, stride in sorted(dims, key=lambda dim: dim[1]):
        inner_size, inner_stride = merged[-1]
        if stride == inner_size * inner_stride:
            merged[-1] = (size * inner_size, inner_stride)
        else:
            merged.append((size, stride))
    return offset * itemsize, tuple(reversed(merged))


def whole(nbytes: int) -> Region:
    """Return the region that covers a storage of so many bytes."""
    return 0, ((nbytes, 1),)


def touched_bytes(region: Region | None) -> int:
    """Return how many bytes the region covers (an expanded dimension counts once)."""
    if region is None:
        return 0
    count = 1
    for size, _ in region[1]:
        count *= size
    return count


def _extent(dims: tuple[tuple[int, int], ...]) -> int:
    return sum((size - 1) * stride for size, stride in dims) + 1


def _rows(region: Region, row: int) -> tuple[int, int, Region] | None:
    """See ``region`` as (first row, number of rows, region within a row); None where it cannot."""
    offset, dims = region
    first, start = divmod(offset, row)
    size, stride = dims[0]
    if start + _extent(dims) <= row:
        return first, 1, (start, dims)
    if stride == row and start + _extent(dims[1:]) <= row:
        return first, size, (start, dims[1:])
    if stride == 1 and start == 0 and size % row == 0:
        return first, size // row, whole(row)
    return None


@lru_cache(maxsize=65_536)
def is_cell(region: Region) -> bool:
    """Whether ``region`` is a cell of the grid that its dimensions span.

    Of regions with equal dimensions that are cells, two are the same or share nothing: the
    timesteps of a buffer, for one, or the gates in one product.
    """
    offset, dims = region
    for level, (size, stride) in enumerate(dims):
        block, offset = divmod(offset, stride)
        inner = dims[level + 1 :]
        if block % size or (inner and offset + _extent(inner) > stride):
            return False
    return True


@lru_cache(maxsize=65_536)
def overlaps(a: Region, b: Region) -> bool:
    """Whether the two regions may share a byte."""
    if a[0] + _extent(a[1]) <= b[0] or b[0] + _extent(b[1]) <= a[0]:
        return False
    row = max(a[1][0][1], b[1][0][1])
    if row == 1:
        return True
    first, second = _rows(a, row), _rows(b, row)
    if first is None or second is None:
        return True
    if first[0] + first[1] <= second[0] or second[0] + second[1] <= first[0]:
        return False
    return overlaps(first[2], second[2])


@lru_cache(maxsize=65_536)
def covers(a: Region, b: Region) -> bool:
    """Whether ``a`` surely holds every byte of ``b``."""
    if a == b:
        return True
    if a[0] > b[0] or a[0] + _extent(a[1]) < b[0] + _extent(b[1]):
        return False
    row = max(a[1][0][1], b[1][0][1])
    if row == 1:
        return True
    if len(a[1]) == 1:  # one run of bytes, and b lies between its ends
        return True
    first, second = _rows(a, row), _rows(b, row)
    if first is None or second is None:
        return False
    if first[0] > second[0] or first[0] + first[1] < second[0] + second[1]:
        return False
    return covers(first[2], second[2])
