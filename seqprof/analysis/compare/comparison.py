"""Is one candidate faster than another? A ratio of medians over rounds, its interval, a verdict.

``a[i]`` and ``b[i]`` are what two candidates took in round i, one shortly after the other. Rounds
are resampled as pairs, so what slows a whole round (drift, another program) cancels. Steps within a
round are not independent and count once: as the round's median. Nor are rounds, where a spell of
load lasts: the interval is as much wider as the dependence of the rounds' own ratios needs
(:mod:`seqprof.analysis.dependence`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.dependence import inefficiency, widening
from seqprof.analysis.spells import undisturbed_level
from seqprof.analysis.spells_together import find_spells
from seqprof.analysis.statistics import (
    SMALLEST_INTERVAL,
    Estimate,
    median,
    quantile,
)

METHOD = (
    "ratio of medians, 95 % bootstrap interval over paired rounds, widened for their dependence"
)
Verdict = Literal["faster", "slower", "equivalent", "inconclusive"]
#: Two candidates whose ratio lies within this of 1 are the same for every practical purpose.
EQUIVALENT_WITHIN = 0.02
#: Standard deviation of the logarithm of the time of one process of a model from another's, both
#: started from one process. Assumed: no benchmark of ours measures it yet.
PROCESS_SPREAD = 0.005
#: The quantile of the rounds that other programs disturb least, and the share of the difference
#: that has to be there too.
FAST, FAST_SHARE = 0.25, 0.5
_Z = 1.959963984540054
#: Resamples of a bootstrap, and the seed that makes the same data give the same interval.
RESAMPLES, SEED = 4_000, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One candidate against the baseline."""

    ratio: Annotated[Estimate, Meta(description="candidate / baseline; below 1 is less time")]
    verdict: Verdict
    rounds: Annotated[int, Meta(description="rounds in which both were measured")]
    withheld: Annotated[
        str | None, Meta(description="why nothing is concluded from a ratio that excludes 1")
    ] = None


def compare(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Compare what ``a`` took with what the baseline ``b`` took, round by round.

    Args:
        a: seconds per round, ``[N]``, positive, in order of time.
        b: the baseline's, of the same rounds.

    Returns:
        The ratio median(a) / median(b) and a verdict. Below six rounds there is no interval, and
        nothing is concluded.

    Raises:
        ValueError: different numbers of rounds, none, or a time that is not positive and finite.
    """
    if len(a) != len(b) or len(a) == 0:
        raise ValueError(f"{len(a)} rounds against {len(b)}; the same rounds are needed of both")
    if not all(0.0 < value < math.inf for value in (*a, *b)):
        raise ValueError("times must be positive and finite")
    value, n = median(a) / median(b), len(a)
    if n < SMALLEST_INTERVAL:
        ratio = Estimate(value=value, unit="1", method=METHOD, n=n)
        return Comparison(ratio=ratio, verdict="inconclusive", rounds=n)
    tau = inefficiency([x / y for x, y in zip(a, b, strict=True)])
    low, high = _interval(a, b, widening(n, tau))
    ratio = Estimate(
        value=value, low=low, high=high, unit="1", method=METHOD, n=n, independent=round(n / tau, 1)
    )
    return Comparison(ratio=ratio, verdict=_judge(value, low, high), rounds=n)


def beside_others(comparison: Comparison, waited: tuple[float, float], reason: str) -> Comparison:
    """Withhold a verdict that waiting for a processor may have made.

    Args:
        comparison: from rounds in which others had the processor.
        waited: the shares of the time that the candidate's and the baseline's threads waited.
        reason: what is said instead.
    """
    ratio, (over, under) = comparison.ratio, waited
    if comparison.verdict == "inconclusive" or not (ratio.value and ratio.low and ratio.high):
        return comparison
    low, high = ratio.low * max(0.0, 1.0 - over), ratio.high / max(1e-9, 1.0 - under)
    if low > 0.0 and _judge(ratio.value, low, high) == comparison.verdict:
        return comparison
    return replace(comparison, verdict="inconclusive", withheld=reason)


def _judge(value: float, low: float, high: float) -> Verdict:
    """A difference is told where the interval excludes 1, processes allowed for.

    Two processes of one and the same model differ, through the luck of where their memory lies
    (Mytkowicz et al. 2009). No number of rounds averages that out, so it is added, as independent
    errors add.
    """
    if low >= 1 - EQUIVALENT_WITHIN and high <= 1 + EQUIVALENT_WITHIN:
        return "equivalent"
    process = _Z * math.sqrt(2) * PROCESS_SPREAD
    if math.log(value) + math.hypot(math.log(high / value), process) < 0.0:
        return "faster"
    if math.log(value) - math.hypot(math.log(value / low), process) > 0.0:
        return "slower"
    return "inconclusive"


def _interval(a: Sequence[float], b: Sequence[float], wider: float) -> tuple[float, float]:
    """Return the 95 % interval of median(a) / median(b).

    Another program slows some of a candidate's rounds, hardly ever all, while a slower candidate is
    slower in its fastest rounds too. So where the fast quartiles do not show at least half of the
    difference, a spell of load may have made it, and the interval reaches to what they say. It
    also reaches to the ratio in rounds that no spell made slow (:mod:`seqprof.analysis.spells`).
    """
    reached = [_bootstrapped(a, b, 0.5, wider)]
    seen, in_fast = math.log(median(a) / median(b)), math.log(quantile(a, FAST) / quantile(b, FAST))
    if seen * in_fast < FAST_SHARE * seen**2:
        reached.append(_bootstrapped(a, b, FAST, wider))
    rounds = list(zip(a, b, strict=True))
    ratios, taken = [math.log(x / y) for x, y in rounds], [math.log(x * y) for x, y in rounds]
    undisturbed = undisturbed_level(ratios, taken)
    if undisturbed is not None:
        reached.append((math.exp(undisturbed[0]), math.exp(undisturbed[1])))
    down, up = _slowed_all_along(a, b)
    reached.append((reached[0][0] / down, reached[0][1] * up))
    return min(low for low, _ in reached), max(high for _, high in reached)


def _slowed_all_along(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Return how many times slower a spell may have made all of ``a``, and all of ``b``.

    A side of one level may lie in one where the other side's rounds show spells that it had not.
    """
    spells = find_spells([[math.log(time) for time in times] for times in (a, b)])
    if spells is None:
        return 1.0, 1.0
    slower = math.exp(max(spells.slower))
    down, up = (slower if level is None else 1.0 for level in spells.undisturbed)
    return down, up


def _bootstrapped(
    a: Sequence[float], b: Sequence[float], q: float, wider: float
) -> tuple[float, float]:
    """Return the interval of the ratio of ``q``-quantiles, pairs resampled, ``wider`` times."""
    import numpy as np  # 0.1 s, which only comparisons pay for

    n, centre = len(a), quantile(a, q) / quantile(b, q)
    chosen = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))
    of_a, of_b = (np.quantile(np.asarray(values)[chosen], q, axis=1) for values in (a, b))
    tail = (1 - expanded_level(n)) / 2
    low, high = (float(limit) for limit in np.quantile(of_a / of_b, (tail, 1 - tail)))
    return centre * min(low / centre, 1.0) ** wider, centre * max(high / centre, 1.0) ** wider


def expanded_level(n: int, level: float = 0.95) -> float:
    """Return the percentile level that covers ``level`` with ``n`` values.

    Percentile intervals are too narrow for few values: resamples vary by (n - 1) / n of the true
    variance, and normal tails stand for Student's. Φ(√(n/(n-1)) t) corrects both (Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap", section 5.3).
    """
    from scipy.stats import norm, t  # type: ignore[import-untyped]

    tail = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))
    return float(1 - 2 * tail)
