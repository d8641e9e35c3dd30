"""Where a series of measurements changed its level: permutation tests and binary segmentation.

The statistic is the largest standardised difference of the means left and right of a point. Its
distribution under "nothing changed" comes from permuting the order of the values, so nothing is
assumed about how they are distributed (Antoch and Hušková 2001, "Permutation tests in change point
analysis", Statistics & Probability Letters 53). Where a change is found, both sides are searched
in turn (binary segmentation, Vostrikova 1981).

What permuting does assume is that without a change the order says nothing. Runs of a day on a slow
machine are alike and break that: a change point is worth a look, not a proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from seqprof.analysis.statistics import median

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHOD = (
    "largest standardised difference of means of logarithms, permutation test (Antoch and Hušková "
    "2001), binary segmentation"
)
#: Level of each test, and the smallest change of the level that is worth telling.
ALPHA, SMALLEST_CHANGE = 0.01, 0.02
#: Values on each side of a change point: two slow runs are not a new level.
FEWEST = 3
#: Permutations of a test, and the seed that makes the same series give the same answer.
PERMUTATIONS, SEED = 4_999, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """The series has another level from here on."""

    index: Annotated[int, Meta(description="the first value of the new level, from 0")]
    before: Annotated[float, Meta(description="median of the level before")]
    after: Annotated[float, Meta(description="median of the level from here on")]
    ratio: float
    p: Annotated[float, Meta(description="of the permutation test")]


def find_change_points(values: Sequence[float]) -> tuple[ChangePoint, ...]:
    """Return where ``values``, which are positive and in order of time, changed their level."""
    logs = [math.log(value) for value in values]
    found = dict(_segment(logs, 0, len(logs)))
    edges = [0, *sorted(found), len(values)]
    points = []
    for left, at, right in zip(edges, edges[1:], edges[2:], strict=False):
        before, after = median(values[left:at]), median(values[at:right])
        if abs(after / before - 1.0) >= SMALLEST_CHANGE:
            points.append(
                ChangePoint(index=at, before=before, after=after, ratio=after / before, p=found[at])
            )
    return tuple(points)


def _segment(logs: Sequence[float], start: int, stop: int) -> list[tuple[int, float]]:
    """Return change points of ``logs[start:stop]`` with their p-values."""
    part = logs[start:stop]
    if len(part) < 2 * FEWEST or len(set(part)) == 1:
        return []
    at, p = _test(part)
    if p > ALPHA:
        return []
    at += start
    return [*_segment(logs, start, at), (at, p), *_segment(logs, at, stop)]


def _test(part: Sequence[float]) -> tuple[int, float]:
    """Return the likeliest change point of a stretch and the p-value of there being one."""
    import numpy as np  # with scipy 0.7 s, which nothing else pays for
    from scipy.stats import permutation_test  # type: ignore[import-untyped]

    array = np.asarray(part)

    def largest(x: NDArray[np.float64], axis: int = -1) -> Any:
        return _differences(x).max(axis=-1)

    found = permutation_test(
        (array,),
        largest,
        permutation_type="pairings",
        vectorized=True,
        alternative="greater",
        n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(SEED),
    )
    return FEWEST + int(_differences(array).argmax()), float(found.pvalue)


def _differences(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standardised difference of means at each split, ``[…, n]`` to ``[…, splits]``.

    Up to the standard deviation, which is the same for every order of the values.
    """
    import numpy as np

    n = x.shape[-1]
    left = np.arange(FEWEST, n - FEWEST + 1)
    sums = np.cumsum(x - x.mean(axis=-1, keepdims=True), axis=-1)[..., left - 1]
    found: NDArray[np.float64] = np.abs(sums) * np.sqrt(n / (left * (n - left)))
    return found
