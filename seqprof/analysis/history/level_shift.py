"""Did a series change its level? Correlated noise with a step against correlated noise without.

Runs of a day on a slow machine are alike. So the noise is a Gaussian process of first order, and
the statistic is the exponential average, over all places of the step, of the likelihood ratio of
noise with a step against noise alone (Andrews and Ploberger 1994, Econometrica 62). Each
likelihood is the largest over the correlation, so that a step is not taken for correlation nor
correlation for a step. Its distribution where nothing changed is simulated: it depends only on how
many values there are and on their correlation, which is estimated by restricted maximum
likelihood, since plain estimates of few values are too low (Cheang and Reinsel 2000, Journal of the
American Statistical Association 95).

All likelihoods are exact, up to a constant: the values are whitened at each correlation of a grid
(Prais and Winsten 1954), and the mean, the step or the line is fitted by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from seqprof.analysis.dependence import ranks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Values on each side of a step: two slow runs are not a new level.
FEWEST = 3
#: Correlations of neighbours that are tried. At 1, every level would be a chance.
CORRELATIONS = (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Simulated series of a test, and the seed that makes the same series give the same answer.
RESAMPLES, SEED = 3_999, 0
#: Long series have fewer, down to the least: so many values in all.
LEAST_RESAMPLES, MOST_VALUES = 999, 1_000_000
#: A first look at a few, and the p-value there from which no more are simulated.
FIRST_LOOK, CLEARLY_NONE = 199, 0.1
#: Values of simulated series that are fitted at once: what a cache holds.
AT_ONCE = 30_000


@dataclass(frozen=True, slots=True)
class LevelShift:
    """The likeliest step of a series.

    Attributes:
        index: the first value of the new level.
        p: how often a series without a step has a statistic as large.
        over_line: logarithm of the likelihood of a step over that of a straight line.
    """

    index: int
    p: float
    over_line: float


@dataclass(frozen=True, slots=True)
class _Likelihoods:
    """Logarithms of the largest likelihoods of ``S`` series: ``[S]``, and ``[S, places]``."""

    level: NDArray[np.float64]
    line: NDArray[np.float64]
    step: NDArray[np.float64]
    #: The correlation of the noise where nothing changed, ``[S]``.
    correlation: NDArray[np.float64]

    def statistic(self) -> NDArray[np.float64]:
        """Return the exponential average of the likelihood ratios, ``[S]``, as a logarithm."""
        import numpy as np

        gain = self.step - self.level[:, None]
        largest = gain.max(axis=1)
        average: NDArray[np.float64] = np.exp(gain - largest[:, None]).mean(axis=1)
        statistic: NDArray[np.float64] = largest + np.log(average)
        return statistic


def likeliest_step(values: NDArray[np.float64]) -> LevelShift:
    """Return the likeliest step of ``values``, ``[N]`` in order of time, with its p-value.

    Raises:
        ValueError: fewer values than two levels need, or all equal.
    """
    if len(values) < 2 * FEWEST or values.min() == values.max():
        raise ValueError("two levels need six values that differ")
    n, fitted = len(values), _likelihoods(values[None])
    statistic, rho = float(fitted.statistic()[0]), max(float(fitted.correlation[0]), 0.0)
    p = _p_value(statistic, n, rho, FIRST_LOOK)
    if p <= CLEARLY_NONE:
        p = _p_value(statistic, n, rho, _resamples(n))
    return LevelShift(
        index=FEWEST + int(fitted.step[0].argmax()),
        p=p,
        over_line=float(fitted.step[0].max() - fitted.line[0]),
    )


def _p_value(statistic: float, n: int, rho: float, count: int) -> float:
    exceeded = int((_without_a_step(n, rho, count) >= statistic).sum())
    return (1 + exceeded) / (1 + count)


def chance_of_order(values: Sequence[float]) -> float:
    """Return how often ``values`` in any order differ as much in rank, left and right of a place.

    The largest standardised difference of mean ranks (Pettitt 1979, Applied Statistics 28), by
    permutation: of independent values nothing is assumed about how they are distributed.
    """
    import numpy as np

    orders = _any_order(len(values))
    exceeded = int((orders >= _rank_difference(np.asarray(ranks(values))[None])[0] - 1e-9).sum())
    return (1 + exceeded) / (1 + len(orders))


@lru_cache(maxsize=1024)
def _any_order(n: int) -> NDArray[np.float64]:
    """Return the statistics of ``n`` ranks in many orders."""
    import numpy as np

    count = _resamples(n)
    orders = np.tile(np.arange(n) - (n - 1) / 2, (count, 1))
    return _rank_difference(np.random.default_rng(SEED).permuted(orders, axis=1))


def _rank_difference(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest standardised difference of mean ranks, ``[S, N]`` to ``[S]``."""
    import numpy as np

    n = centred.shape[1]
    left = np.arange(FEWEST, n - FEWEST + 1)
    sums = np.abs(np.cumsum(centred, axis=1)[:, left - 1])
    largest: NDArray[np.float64] = (sums / np.sqrt(left * (n - left))).max(axis=1)
    largest /= np.sqrt((centred**2).sum(axis=1))
    return largest


def _resamples(n: int) -> int:
    return min(RESAMPLES, max(LEAST_RESAMPLES, MOST_VALUES // n))


@lru_cache(maxsize=1024)
def _without_a_step(n: int, rho: float, count: int) -> NDArray[np.float64]:
    """Return the statistics of ``count`` simulated series of ``n`` values of one level."""
    import numpy as np

    series = np.random.default_rng(SEED).normal(size=(count, n))
    series[:, 0] /= math.sqrt(1 - rho * rho)
    for t in range(1, n):
        series[:, t] += rho * series[:, t - 1]
    parts = np.array_split(series, math.ceil(series.size / AT_ONCE))
    return np.concatenate([_likelihoods(part).statistic() for part in parts])


def _likelihoods(series: NDArray[np.float64]) -> _Likelihoods:
    """Return the largest likelihoods of ``series``, ``[S, N]``, over the correlations."""
    import numpy as np

    centred = series - series.mean(axis=1, keepdims=True)
    fits = [_fit(centred, rho) for rho in CORRELATIONS]
    level, line, restricted = (np.stack([fit[kind] for fit in fits]) for kind in range(3))
    return _Likelihoods(
        level=level.max(axis=0),
        line=line.max(axis=0),
        step=np.maximum.reduce([fit[3] for fit in fits]),
        correlation=np.asarray(CORRELATIONS)[restricted.argmax(axis=0)],
    )


def _fit(series: NDArray[np.float64], rho: float) -> tuple[NDArray[np.float64], ...]:
    """Return log-likelihoods of one level, a line, one level restricted, and steps, at ``rho``."""
    import numpy as np

    n = series.shape[1]
    white, one = _whitened(series, rho), _whitened(np.ones(n), rho)
    of_one = one @ one
    on_one = white @ one
    level = (white**2).sum(axis=1) - on_one**2 / of_one
    ramp = _whitened(np.arange(n) - (n - 1) / 2, rho)
    ramp -= (ramp @ one) / of_one * one
    line = level - (white @ ramp) ** 2 / (ramp @ ramp)
    # A step at t, whitened: 0 before, 1 at t, 1 - rho from there on.
    at = np.arange(FEWEST, n - FEWEST + 1)
    later = np.cumsum(white[:, ::-1], axis=1)[:, n - 2 - at]
    beyond = (n - 1 - at) * (1 - rho) ** 2
    with_one = (1 - rho) + beyond
    on_step = white[:, at] + (1 - rho) * later - np.outer(on_one / of_one, with_one)
    step = level[:, None] - on_step**2 / (1 + beyond - with_one**2 / of_one)
    root = 0.5 * math.log(1 - rho * rho)
    return (
        root - n / 2 * _log(level),
        root - n / 2 * _log(line),
        root - (n - 1) / 2 * _log(level) - 0.5 * math.log(of_one),
        root - n / 2 * _log(step),
    )


def _whitened(series: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
    """Return ``series``, ``[..., N]``, without the correlation ``rho`` of neighbours."""
    import numpy as np

    first = math.sqrt(1 - rho * rho) * series[..., :1]
    return np.concatenate([first, series[..., 1:] - rho * series[..., :-1]], axis=-1)


def _log(squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm; squares that rounding made zero count as the smallest number."""
    import numpy as np

    logarithm: NDArray[np.float64] = np.log(np.maximum(squares, 1e-300))
    return logarithm
