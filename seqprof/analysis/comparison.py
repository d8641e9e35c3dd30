"""Is one candidate faster than another? A ratio of medians over rounds, its interval, a verdict.

``a[i]`` and ``b[i]`` are what two candidates took in round i, one shortly after the other. Rounds
are resampled as pairs, so what slows a whole round (drift, another program) cancels. Steps within a
round are not independent and count once: as the round's median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from seqprof.analysis.statistics import SMALLEST_INTERVAL, Estimate, median, median_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHOD = "ratio of medians, 95 % bootstrap interval over paired rounds"
Verdict = Literal["faster", "slower", "equivalent", "inconclusive"]
#: Two candidates whose ratio lies within this of 1 are the same for every practical purpose.
EQUIVALENT_WITHIN = 0.02
#: Resamples of a bootstrap, and the seed that makes the same data give the same interval.
RESAMPLES, SEED = 4_000, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One candidate against the baseline."""

    ratio: Annotated[Estimate, Meta(description="candidate / baseline; below 1 is less time")]
    verdict: Verdict
    rounds: Annotated[int, Meta(description="rounds in which both were measured")]


def compare(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Compare what ``a`` took with what the baseline ``b`` took, round by round.

    Args:
        a: seconds per round, ``[N]``, positive.
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
    value = median(a) / median(b)
    interval = ratio_interval(a, b)
    low, high = interval or (None, None)
    return Comparison(
        ratio=Estimate(value=value, low=low, high=high, unit="1", method=METHOD, n=len(a)),
        verdict=_judge(a, b, interval),
        rounds=len(a),
    )


def _judge(a: Sequence[float], b: Sequence[float], interval: tuple[float, float] | None) -> Verdict:
    """A difference is told only where the ratio is beyond ±2 % and two intervals agree on it.

    Within ±2 % lie differences of no practical use, and those between two processes of one and the
    same model, by the luck of where their memory lies (Mytkowicz et al. 2009), which no number of
    rounds averages out. The second interval is that of the median of the rounds' own ratios, from
    order statistics; it assumes nothing, and on a machine with slow spells errs less often.
    """
    by_signs = median_interval([x / y for x, y in zip(a, b, strict=True)])
    if interval is None or by_signs is None:
        return "inconclusive"
    low, high = interval
    if low >= 1 - EQUIVALENT_WITHIN and high <= 1 + EQUIVALENT_WITHIN:
        return "equivalent"
    if high < 1 - EQUIVALENT_WITHIN and by_signs[1] < 1.0:
        return "faster"
    if low > 1 + EQUIVALENT_WITHIN and by_signs[0] > 1.0:
        return "slower"
    return "inconclusive"


def ratio_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of median(a) / median(b) over paired rounds; None below six."""
    if len(a) < SMALLEST_INTERVAL:
        return None
    import numpy as np  # with scipy 0.7 s, which only comparisons pay for
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    def ratio(x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1) -> Any:
        return np.median(x, axis=axis) / np.median(y, axis=axis)

    if len({x / y for x, y in zip(a, b, strict=True)}) == 1 and len(set(a)) == 1:
        constant = a[0] / b[0]
        return constant, constant
    found = bootstrap(
        (np.asarray(a), np.asarray(b)),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=expanded_level(len(a)),
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def expanded_level(n: int, level: float = 0.95) -> float:
    """Return the percentile level that covers ``level`` with ``n`` values.

    Percentile intervals are too narrow for few values: resamples vary by (n - 1) / n of the true
    variance, and normal tails stand for Student's. Φ(√(n/(n-1)) t) corrects both (Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap", section 5.3).
    """
    from scipy.stats import norm, t

    tail = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))
    return float(1 - 2 * tail)
