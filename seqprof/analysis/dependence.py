"""How much neighbouring measurements resemble each other, and what that costs an interval.

Steps that follow one another are not independent: another program, the clock of the processor or
the garbage collector slows a stretch of them. An interval that takes them as independent is too
narrow: at a correlation of 0.6 from step to step it covers the median in 79 of 100 runs, not in 95.
So the statistical inefficiency tau is estimated from the values, in their order of time: n of them
tell as much as n / tau independent ones (Sokal 1997, "Monte Carlo methods in statistical
mechanics", section 3).

All is done on ranks: neither one huge value nor the shape of the distribution matters. Two
estimates are taken, and the larger one counts. That of an autoregressive process of first order,
whose bias in few values is known and corrected (Kendall 1954), finds the resemblance of neighbours.
The initial monotone sequence (Geyer 1992, "Practical Markov chain Monte Carlo", section 3.3) finds
spells that last, and drift. `benchmarks/intervals.py` measures what the intervals come to.

Plain Python: `show` must start fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Neighbours further apart than this are not looked at: it bounds the time for long series.
MOST_LAGS = 64
#: From so many values on, their dependence is what was measured. Fewer can hardly tell it: the
#: fewer, the more is assumed, down to …
FEWEST = 20
#: … six, of which two are taken to tell as much as one independent one. Real steps were seen to
#: have correlations of 0.2 to 0.54, which makes that 1.5 to 2.5.
FEW, ASSUMED = 6, 2.0
#: From so many values on, the bias of their correlation is corrected. Of fewer, the correction is
#: mostly noise.
FEWEST_CORRECTED = 10
_Z = 1.959963984540054


def ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks of ``values`` less their mean; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    centre = (len(values) - 1) / 2
    ranked = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for index in order[start:stop]:
            ranked[index] = (start + stop - 1) / 2 - centre
        start = stop
    return ranked


def correlation(centred: Sequence[float], lag: int) -> float:
    """Return the autocorrelation at ``lag`` of values whose mean is zero; 0 where all are equal."""
    total = math.fsum(value * value for value in centred)
    if total == 0.0:
        return 0.0
    return sum(map(float.__mul__, centred[lag:], centred)) / total


def inefficiency(values: Sequence[float], *, of_median: bool = False) -> float:
    """Return how many of the ``values``, in order of time, tell as much as one independent one.

    Args:
        values: in order of time, ``[N]``.
        of_median: for a median, which needs only on which side of it values lie. Else for a
            statistic that uses all ranks.

    Returns:
        At least 1; below 20 values at least what is :func:`assumed`.
    """
    if len(values) < 5 or min(values) == max(values):
        return 1.0
    centred = ranks(values)
    factor = max(_autoregressive(centred, of_median=of_median), _initial_sequence(centred))
    return max(factor, assumed(len(values)))


def assumed(n: int) -> float:
    """Return the least inefficiency that ``n`` values are taken to have; 1 from 20 values on."""
    return 1.0 + (ASSUMED - 1.0) * min(1.0, max(0.0, (FEWEST - n) / (FEWEST - FEW)))


def _autoregressive(centred: Sequence[float], *, of_median: bool) -> float:
    """Return tau if the values come from a Gaussian process of first order, seen through ranks."""
    n = len(centred)
    seen = correlation(centred, 1)
    corrected = (n * seen + 1) / (n - 4) if n >= FEWEST_CORRECTED else seen
    if corrected <= 0.0:
        return 1.0
    rho = 2 * math.sin(math.pi * min(corrected, 0.97) / 6)
    tau, power = 1.0, 1.0
    for lag in range(1, min(n, MOST_LAGS)):
        power *= rho
        # Of a Gaussian process, the correlation of signs (Sheppard 1899) and of ranks.
        part = math.asin(power) * 2 if of_median else math.asin(power / 2) * 6
        tau += 2 * (1 - lag / n) * part / math.pi
    return tau


def _initial_sequence(centred: Sequence[float]) -> float:
    """Return tau from sums of two neighbouring autocorrelations, while they fall and are above 0.

    A mean that is itself estimated lowers each of the 2 m + 1 autocorrelations in the sum by about
    tau / n. Half of that is corrected: that sums below 0 end it makes up for the rest.
    """
    n = len(centred)
    lags = min(max(n // 2, 2), MOST_LAGS)
    factors = [1.0]
    total, previous, added = -1.0, math.inf, -1
    for lag in range(0, lags - 1, 2):
        factors += [correlation(centred, at) for at in (lag + 1, lag + 2)]
        pair = min(factors[lag] + factors[lag + 1], previous)
        if pair <= 0.0:
            break
        total += 2 * pair
        previous = pair
        added += 4
    return total / max(1 - added / (2 * n), 0.5) if total > 1.0 else 1.0


def student(freedom: float) -> float:
    """Return the 97.5 % point of Student's t over that of the normal distribution.

    The Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), within 3 % from two degrees on.
    """
    v, z = max(freedom, 2.0), _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return (z + first / v + second / v**2 + third / v**3) / z


def widening(n: int, tau: float) -> float:
    """Return how many times as wide an interval of ``n`` independent values has to be.

    √tau for the information that is missing, and Student's factor for what is left of it, since
    the spread is estimated too: n / tau - 1 degrees of freedom, two at least.
    """
    if tau <= 1.0:
        return 1.0
    return math.sqrt(tau) * student(n / tau - 1) / student(n - 1)
