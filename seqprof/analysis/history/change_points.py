"""Where a series of measurements changed its level: resampling tests and binary segmentation.

The statistic is the largest standardised difference of the means left and right of a point. Its
distribution under "nothing changed" comes from the values themselves, in any order, so nothing is
assumed about how they are distributed (Antoch and Hušková 2001, "Permutation tests in change point
analysis", Statistics & Probability Letters 53). Where a change is found, both sides are searched
in turn (binary segmentation, Vostrikova 1981).

Runs of a day on a slow machine are alike. So the correlation of neighbours is estimated from what
the best step leaves over, and not the values are permuted but the innovations of a process with
that correlation (a sieve bootstrap: Bühlmann 1997, Bernoulli 3). A series that a straight line
follows better than a step drifts: no point of it is where it changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from seqprof.analysis.statistics import median

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHOD = (
    "largest standardised difference of means of logarithms, permuted innovations of a process "
    "with the correlation seen, binary segmentation"
)
#: Level of each test, and the smallest change of the level that is worth telling.
ALPHA, SMALLEST_CHANGE = 0.01, 0.02
#: Values on each side of a change point: two slow runs are not a new level.
FEWEST = 3
#: Permutations of a test, and the seed that makes the same series give the same answer.
PERMUTATIONS, SEED = 1_999, 0
#: How much better than a straight line, in squares that are left over, a step has to be; and what
#: the p-value is multiplied by, since the correlation is itself estimated.
STEP_OVER_LINE, CAUTION = 0.95, 3.0
#: Values from which it can be told whether a level came and went.
ENOUGH_FOR_TWO = 24
#: A correlation near 1 would make every level a chance.
MOST_CORRELATION = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """The series has another level from here on."""

    index: Annotated[int, Meta(description="the first value of the new level, from 0")]
    before: Annotated[float, Meta(description="median of the level before")]
    after: Annotated[float, Meta(description="median of the level from here on")]
    ratio: float
    p: Annotated[float, Meta(description="of the resampling test")]


def find_change_points(values: Sequence[float]) -> tuple[ChangePoint, ...]:
    """Return where ``values``, which are positive and in order of time, changed their level."""
    logs = [math.log(value) for value in values]
    changes = dict(_segment(logs, 0, len(logs)))
    edges = [0, *sorted(changes), len(values)]
    points = []
    for left, at, right in zip(edges, edges[1:], edges[2:], strict=False):
        before, after = median(values[left:at]), median(values[at:right])
        if abs(after / before - 1.0) >= SMALLEST_CHANGE:
            points.append(
                ChangePoint(
                    index=at, before=before, after=after, ratio=after / before, p=changes[at]
                )
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
    import numpy as np  # 0.1 s, which nothing else pays for

    array = np.asarray(part)
    differences = _differences(array)
    at = FEWEST + int(differences.argmax())
    left = array - np.where(np.arange(len(array)) < at, array[:at].mean(), array[at:].mean())
    line = np.polynomial.Polynomial.fit(np.arange(len(array)), array, 1)
    if STEP_OVER_LINE * ((array - line(np.arange(len(array)))) ** 2).sum() <= (left**2).sum():
        return at, 1.0
    rng, largest = np.random.default_rng(SEED), float(differences.max())
    orders = rng.permuted(np.tile(array, (PERMUTATIONS, 1)), axis=1)
    dependent = CAUTION * _exceeded(_as_if_nothing_changed(array, left), largest)
    return at, min(1.0, max(_exceeded(orders, largest), dependent))


def _exceeded(series: NDArray[np.float64], limit: float) -> float:
    """Return the p-value: how often the largest difference in a row reaches ``limit``."""
    largest = _differences(series).max(axis=-1)
    return float((1 + (largest >= limit).sum()) / (1 + len(largest)))


def _remainder(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the best two steps leave over: a level that comes and goes is no correlation."""
    import numpy as np

    n = len(array)
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (array, array**2))

    def error(a: int, b: int) -> float:
        return float(squares[b] - squares[a] - (sums[b] - sums[a]) ** 2 / (b - a))

    _, i, j = min(
        (error(0, i) + error(i, j) + error(j, n), i, j)
        for i in range(FEWEST, n - 2 * FEWEST + 1)
        for j in range(i + FEWEST, n - FEWEST + 1)
    )
    parts = (array[:i], array[i:j], array[j:])
    return np.concatenate([part - part.mean() for part in parts])


def _as_if_nothing_changed(
    array: NDArray[np.float64], left: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return series like ``array`` without a change, ``[n]`` to ``[PERMUTATIONS, n]``.

    Args:
        array: the values.
        left: what the best step leaves over of them.
    """
    import numpy as np

    n, rng = len(left), np.random.default_rng(SEED)
    rho = _correlation(left, 2)
    if n >= ENOUGH_FOR_TWO:
        without = _remainder(array)
        rho, left = min((rho, left), (_correlation(without, 3), without), key=lambda x: x[0])
    innovations = left[1:] - rho * left[:-1]
    # Two means and a point were fitted: what is left over is smaller than what was there.
    innovations = (innovations - innovations.mean()) * math.sqrt(n / (n - 4))
    drawn = rng.permuted(np.tile(innovations, (PERMUTATIONS, 1)), axis=1)
    series = np.empty((PERMUTATIONS, n))
    series[:, 0] = rng.choice(innovations, PERMUTATIONS) / math.sqrt(1 - rho * rho)
    for t in range(1, n):
        series[:, t] = rho * series[:, t - 1] + drawn[:, t - 1]
    return series


def _correlation(left: NDArray[np.float64], means: int) -> float:
    """Return the correlation of neighbours, corrected for its bias, which fitted means make.

    About (1 + 3 rho) / n for each mean (Kendall 1954); not below 0.
    """
    n, squares = len(left), float((left**2).sum())
    seen = float((left[1:] * left[:-1]).sum()) / squares if squares > 0.0 else 0.0
    corrected = (n * seen + means) / max(n - 3 * means, n / 3)
    return min(max(corrected, 0.0), MOST_CORRELATION)


def _differences(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standardised difference of means at each split, ``[…, n]`` to ``[…, splits]``.

    Up to the standard deviation, which is the same for every order of the values.
    """
    import numpy as np

    n = x.shape[-1]
    left = np.arange(FEWEST, n - FEWEST + 1)
    sums = np.cumsum(x - x.mean(axis=-1, keepdims=True), axis=-1)[..., left - 1]
    differences: NDArray[np.float64] = np.abs(sums) * np.sqrt(n / (left * (n - left)))
    return differences
