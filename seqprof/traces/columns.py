"""Values as they stand in a trace file → integer columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from seqprof.analysis.timeline.structure import Bools, Ints

#: What stands for a value that is missing or no number.
MISSING = np.iinfo(np.int64).min
_LARGEST_NS = 2**62


class Codes(dict[Any, int]):
    """Number each new key in order of appearance."""

    def __missing__(self, key: Any) -> int:
        self[key] = code = len(self)
        return code

    def of(self, keys: Sequence[Any]) -> Ints:
        """The codes of ``keys``."""
        return np.fromiter(map(self.__getitem__, keys), dtype=np.int64, count=len(keys))


class ThreadCodes(Codes):
    """Number (process, thread), the same whether they are written as numbers or as strings."""

    def __missing__(self, key: Any) -> int:
        spelled = tuple(map(str, key))
        code = len(self) if spelled == key else self[spelled]
        self[key] = code
        return code


def nanoseconds(values: Sequence[Any]) -> Ints:
    """Microseconds (int, float, decimal, string) → integer nanoseconds, half to even.

    Floats must be below 2**43, where their spacing is under a nanosecond; ``MISSING`` where the
    value is none or not finite.
    """
    kinds = set(map(type, values))
    if kinds <= {int}:
        return _whole(values)
    if kinds <= {int, float}:
        array = np.array(values, dtype=np.float64)
        if np.abs(array).max(initial=0.0) < 2.0**43:
            # Whole and fraction apart: their product by 1000 in one piece would be rounded twice.
            whole = np.floor(array)
            rest = np.rint((array - whole) * 1000.0)
            return whole.astype(np.int64) * 1000 + rest.astype(np.int64)
    return np.array([_one_nanoseconds(value) for value in values], dtype=np.int64)


def _whole(values: Sequence[int]) -> Ints:
    try:
        array = np.array(values, dtype=np.int64)
    except OverflowError:
        return np.array([_one_nanoseconds(value) for value in values], dtype=np.int64)
    if np.abs(array).max(initial=0) >= _LARGEST_NS // 1000:
        return np.array([_one_nanoseconds(value) for value in values], dtype=np.int64)
    return array * 1000


def _one_nanoseconds(value: Any) -> int:
    if value is None:
        return MISSING
    try:
        exact = Decimal(repr(value) if isinstance(value, float) else value) * 1000
        whole = int(exact.to_integral_value())
    except (InvalidOperation, ValueError, OverflowError, TypeError):
        return MISSING
    return whole if abs(whole) < _LARGEST_NS else MISSING


def integers(values: Sequence[Any], default: int) -> Ints:
    """Integers, numbers in strings too; ``default`` where there is none."""
    if set(map(type, values)) <= {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    return np.array([_one_integer(value, default) for value in values], dtype=np.int64)


def _one_integer(value: Any, default: int) -> int:
    if isinstance(value, str):
        value = value.removeprefix("stream ")
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return whole if abs(whole) < 2**62 else default


def present(values: Ints) -> Bools:
    """Where a value is not ``MISSING``."""
    known: Bools = values != MISSING
    return known
