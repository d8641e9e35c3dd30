"""Order statistics and what they support.

Plain Python: `show` must start fast, and the standard library's own ``statistics`` takes longer to
import than everything here takes to run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.dependence import inefficiency, widening
from seqprof.analysis.spells import undisturbed_level

#: Fewest values for which the smallest and the largest bound the median with 95 % confidence.
SMALLEST_INTERVAL = 6
#: An interval ends at most this many times as far from the median as the furthest value.
MOST_BEYOND = 2.0
#: Most significant digits that any time or ratio is shown with.
MOST_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One number with its 95 % interval, where it has one, and the method that gave it."""

    value: Annotated[float | None, Meta(description="null where it could not be measured")]
    unit: Annotated[str, Meta(description="SI; 1 for a ratio")]
    method: str
    low: Annotated[float | None, Meta(description="95 % interval; null where none is known")] = None
    high: float | None = None
    n: Annotated[int, Meta(description="measurements behind the value")] = 0
    independent: Annotated[
        float | None,
        Meta(
            description="independent measurements that tell as much as these n, which resemble "
            "their neighbours; null where that was not looked at"
        ),
    ] = None
    reason: Annotated[str | None, Meta(description="why the value is null")] = None


def missing(unit: str, method: str, reason: str, n: int = 0) -> Estimate:
    """Return the estimate of something that could not be measured."""
    return Estimate(value=None, unit=unit, method=method, reason=reason, n=n)


def quantile(values: Iterable[float], q: float) -> float:
    """Return the ``q``-quantile (0..1), interpolated linearly between order statistics.

    Raises:
        ValueError: there is no value.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    fraction = position - below
    if fraction == 0.0 or ordered[below] == ordered[above]:  # to the last digit
        return ordered[below]
    return ordered[below] * (1.0 - fraction) + ordered[above] * fraction


def mean(values: Collection[float]) -> float:
    """Return the arithmetic mean; raises ZeroDivisionError when there is no value."""
    return math.fsum(values) / len(values)


def median(values: Iterable[float]) -> float:
    """Return the median; raises ValueError when there is no value."""
    return quantile(values, 0.5)


@lru_cache(maxsize=64)
def _rank(n: int) -> int:
    """Largest k for which (x_(k), x_(n+1-k)) covers the median with 95 %; 0 when there is none."""
    rank, below, term = 0, 0, 1
    while 40 * (below + term) <= 1 << n:  # P(Binomial(n, 1/2) <= rank) <= 2.5 %, in integers
        below += term
        rank += 1
        term = term * (n - rank + 1) // rank
    return rank


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the median of ``values``, in order of time; None below six.

    By order statistics, which assume nothing about the distribution (Conover, Practical
    Nonparametric Statistics, 3.2), as many ranks wider as the values' dependence needs
    (:mod:`seqprof.analysis.dependence`). Where that is beyond the smallest and the largest value,
    their distances from the median grow in proportion, to ``MOST_BEYOND`` at most. It reaches
    down to what no spell made slow (:mod:`seqprof.analysis.spells`).
    """
    rank = _rank(len(values))
    if rank == 0:
        return None
    return _reaching(values, rank, inefficiency(values, of_median=True))


def _reaching(values: Sequence[float], rank: int, tau: float) -> tuple[float, float]:
    """Return the interval, as far as the level that no spell made slow."""
    low, high = _stretched(values, rank, tau)
    level = undisturbed_level([math.log(v) for v in values]) if min(values) > 0.0 else None
    return (low, high) if level is None else (min(low, math.exp(level[0])), high)


def _stretched(values: Sequence[float], rank: int, tau: float) -> tuple[float, float]:
    n, ordered = len(values), sorted(values)
    reach = ((n + 1) / 2 - rank) * widening(n, tau)
    beyond = min(reach / ((n - 1) / 2), MOST_BEYOND)
    if beyond <= 1.0:
        below = math.floor((n + 1) / 2 - reach + 1e-9)
        return ordered[below - 1], ordered[n - below]
    centre, low, high = median(ordered), ordered[0], ordered[-1]
    # What is positive cannot lie below 0, however far the interval has to reach.
    below_centre = (
        centre * (low / centre) ** beyond if low > 0.0 else low * beyond - centre * (beyond - 1)
    )
    above_centre = centre + (high - centre) * beyond
    return min(below_centre, centre), max(above_centre, centre)  # to the last digit


def estimate_median(values: Sequence[float], *, unit: str, method: str, absent: str) -> Estimate:
    """Return the median of ``values``, in order of time, with its interval.

    Without a value it is null, for the reason ``absent``.
    """
    if not values:
        return missing(unit, method, absent)
    rank = _rank(len(values))
    if rank == 0:
        return Estimate(value=median(values), unit=unit, method=method, n=len(values))
    tau = inefficiency(values, of_median=True)
    low, high = _reaching(values, rank, tau)
    return Estimate(
        value=median(values),
        low=low,
        high=high,
        unit=unit,
        method=method,
        n=len(values),
        independent=round(len(values) / tau, 1),
    )


def paired_change(
    numerators: Sequence[float], denominators: Sequence[float], *, method: str, absent: str
) -> Estimate:
    """Return the median of the paired ratios minus 1, with its interval."""
    ratios = [a / b - 1.0 for a, b in zip(numerators, denominators, strict=True) if b > 0.0]
    return estimate_median(ratios, unit="1", method=method, absent=absent)


def median_absolute_deviation(values: Sequence[float]) -> float:
    """Return the median distance from the median."""
    centre = median(values)
    return median(abs(value - centre) for value in values)


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Return standard deviation over mean; None below two values or at a mean of zero."""
    if len(values) < 2:
        return None
    centre = mean(values)
    squares = math.fsum((value - centre) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1)) / centre if centre > 0.0 else None


def thirds(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the first and the last third; None below nine values."""
    size = len(values) // 3
    return (values[:size], values[-size:]) if size >= 3 else None


def drift(values: Sequence[float]) -> float | None:
    """Return median of the last third over median of the first, minus 1; None below nine."""
    ends = thirds(values)
    if ends is None or median(ends[0]) <= 0.0:
        return None
    return median(ends[1]) / median(ends[0]) - 1.0


def supported_digits(value: float, low: float | None, high: float | None) -> int:
    """Return how many significant digits of ``value`` the interval supports (1 to 4).

    The last digit shown is that of the interval's half width. Without an interval: 2.
    """
    if low is None or high is None:
        return 2
    half = (high - low) / 2.0
    if value == 0.0 or half <= 0.0:  # below 0: only in a damaged file
        return MOST_DIGITS
    digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(half)) + 1
    return max(1, min(MOST_DIGITS, digits))
