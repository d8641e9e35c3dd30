"""Distinct values and groups of integer columns.

``np.unique`` would do, but its first call imports ``numpy.ma``: a tenth of a small trace's time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqprof.analysis.timeline.structure import Bools, Ints


def distinct(values: Ints) -> Ints:
    """The distinct values in ascending order."""
    ordered = np.sort(values)
    return ordered[_firsts(ordered)]


def groups(values: NDArray[Any]) -> tuple[Ints, Ints, Ints]:
    """Rows in order of value, where each group begins in that order, and its size."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(_firsts(values[order]))
    return order, begins, np.diff(np.append(begins, len(values)))


def _firsts(ordered: NDArray[Any]) -> Bools:
    return np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)]


def among(values: Ints, wanted: Ints) -> Bools:
    """Which of ``values`` are in ``wanted`` (ascending)."""
    if not len(wanted):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    present: Bools = wanted[at] == values
    return present
