"""Did it become slower between two runs? A ratio of medians, its interval, a verdict.

The steps of two runs are not pairs: the runs were taken at different times, in different processes.
Three things then make two runs of the very same program differ, and each has its part here:

- Steps scatter, and neighbours scatter together (another program, the clock, the garbage
  collector). So blocks of consecutive steps are resampled, not steps (Carlstein 1986).
- Every process is a little faster or slower than the next for as long as it lives: by the luck of
  where its memory and its libraries lie (Mytkowicz et al. 2009), and by what other programs left
  of the caches. No number of steps averages that out, only more runs do. So the interval is widened
  by what runs of one program were measured to differ by, :func:`process_spread`, or by what the
  runs at hand differ by, where that is more.
- Another program slows some of the steps, hardly ever all of them, while a slower program is
  slower in its fastest steps too. So a change also has to be there in the fast quartile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from seqprof.analysis.compare.comparison import RESAMPLES, SEED, expanded_level
from seqprof.analysis.statistics import (
    SMALLEST_INTERVAL,
    Estimate,
    estimate_median,
    mean,
    missing,
    quantile,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Standard deviation of the logarithm of a run's median from one process of a program to the next,
#: apart from the scatter of steps: this share, however long something lasts …
PROCESS_SPREAD = 0.01
#: … and this share of what lasts a second. It falls with the square root of the time: what is
#: short has few parts, whose luck does not average out …
SHORT_SPREAD = 0.0024
#: … and what is added where none of its threads has a core to itself, in proportion where some
#: have (:func:`seqprof.analysis.diff.settings_changed.contention`). `benchmarks/diff.py` measures
#: them.
CONTENDED_SPREAD = 0.10
#: Two-sided 95 % of a normal distribution.
_Z = 1.96
METHOD = (
    "ratio of medians new / base, 95 % interval: bootstrap of blocks of steps within each run, "
    "widened by what processes of one program differ by"
)
FAST_METHOD = METHOD.replace("medians", "fast quartiles")
#: The quantile of a run's steps that other programs disturb least and that still is no extreme.
FAST = 0.25

Verdict = Literal["faster", "slower", "more", "less", "equivalent", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One quantity of a new run against that of a base."""

    ratio: Annotated[Estimate, Meta(description="new / base, of the medians")]
    fast: Annotated[Estimate, Meta(description="new / base, of the fast quartiles")]


@dataclass(frozen=True, slots=True)
class Runs:
    """One quantity in all runs of one side.

    Attributes:
        series: of each run its steps in order of time, ``[runs][N]``, positive.
        contention: of each run the share of its threads that no core was free for, 0 … 1.
        lasts_s: how long what was measured lasts; None: long.
    """

    series: Sequence[Sequence[float]]
    contention: Sequence[float]
    lasts_s: float | None = None

    @property
    def values(self) -> list[float]:
        """All steps."""
        return [value for steps in self.series for value in steps]

    def spread(self, measured: float) -> float:
        """Return the standard deviation of the logarithm of the side's value due to its processes.

        Args:
            measured: of single runs, as these ones differ.
        """
        squares = math.fsum(
            max(process_spread(share, self.lasts_s), measured) ** 2 for share in self.contention
        )
        return math.sqrt(squares) / len(self.contention)


def process_spread(contention: float, lasts_s: float | None = None) -> float:
    """Return how much processes of one program differ, as a standard deviation of logarithms.

    Args:
        contention: share of the threads that no core was free for, 0 … 1.
        lasts_s: how long the quantity lasts, in seconds; None: long.
    """
    short = SHORT_SPREAD / math.sqrt(lasts_s) if lasts_s is not None and lasts_s > 0.0 else 0.0
    return math.hypot(PROCESS_SPREAD, short) + CONTENDED_SPREAD * contention


def spread_between(sides: Sequence[Runs], q: float) -> float:
    """Return the standard deviation of the logarithms of the runs' ``q``-quantiles in their sides.

    It is pooled over the sides; 0 where each has a single run. So few runs say little of it: it
    may only widen what :func:`process_spread` says.
    """
    squares, freedom = 0.0, 0
    for side in sides:
        logs = [math.log(quantile(steps, q)) for steps in side.series]
        centre = mean(logs)
        squares += math.fsum((value - centre) ** 2 for value in logs)
        freedom += len(logs) - 1
    return math.sqrt(squares / freedom) if freedom else 0.0


def compare_runs(base: Runs, new: Runs) -> Change:
    """Compare one quantity of two sides; they need not have equal numbers of runs or steps.

    Returns:
        The ratios. Without an interval where either side has fewer than six steps.

    Raises:
        ValueError: a run has no step, or a value is not positive and finite.
    """
    if not all(base.series) or not all(new.series) or not base.series or not new.series:
        raise ValueError("a run without a step cannot be compared")
    if not all(0.0 < value < math.inf for value in (*base.values, *new.values)):
        raise ValueError("values must be positive and finite")
    return Change(
        ratio=_ratio(base, new, 0.5, METHOD),
        fast=_ratio(base, new, FAST, FAST_METHOD),
    )


def _ratio(base: Runs, new: Runs, q: float, method: str) -> Estimate:
    value = quantile(new.values, q) / quantile(base.values, q)
    count = min(len(base.values), len(new.values))
    if count < SMALLEST_INTERVAL:
        return Estimate(value=value, unit="1", method=method, n=count)
    measured = spread_between((base, new), q)
    spread = math.hypot(base.spread(measured), new.spread(measured))
    low, high = _bootstrap(base, new, q)
    if q == 0.5:
        low, high = _with_dependence(base, new, value, (low, high))
    low, high = widened(value, low, high, spread)
    return Estimate(value=value, low=low, high=high, unit="1", method=method, n=count)


def widened(value: float, low: float, high: float, spread: float) -> tuple[float, float]:
    """Return the interval with the spread of processes added, as independent errors add."""
    process = _Z * spread
    below, above = max(0.0, math.log(value / low)), max(0.0, math.log(high / value))
    return value * math.exp(-math.hypot(below, process)), value * math.exp(
        math.hypot(above, process)
    )


def _with_dependence(
    base: Runs, new: Runs, value: float, interval: tuple[float, float]
) -> tuple[float, float]:
    """Return the wider of the bootstrap's interval and that of the two medians, combined.

    Blocks are short where there are few steps. The intervals of single runs' medians know how long
    the resemblance of steps lasts (:mod:`seqprof.analysis.dependence`).
    """
    if len(base.series) > 1 or len(new.series) > 1:
        return interval
    sides = [
        estimate_median(side.series[0], unit="s", method="", absent="") for side in (base, new)
    ]
    before, after = (_log_sides(side) for side in sides)
    if before is None or after is None:
        return interval
    low = value * math.exp(-math.hypot(after[0], before[1]))
    high = value * math.exp(math.hypot(after[1], before[0]))
    return min(interval[0], low), max(interval[1], high)


def block_length(n: int) -> int:
    """Return how many consecutive steps are resampled together.

    √n, as is usual where nothing is known of how long the disturbances last (Flegal and Jones
    2010), but short enough to leave six blocks.
    """
    return max(1, min(math.isqrt(n), n // SMALLEST_INTERVAL))


def _bootstrap(base: Runs, new: Runs, q: float) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of ``q``-quantiles, from resampled blocks."""
    import numpy as np  # with scipy 0.7 s, which only comparisons pay for
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    of_base, of_new = _blocks(base.series), _blocks(new.series)

    def ratio(b: NDArray[np.int64], n: NDArray[np.int64], axis: int = -1) -> Any:
        return _pooled(of_new, n, q) / _pooled(of_base, b, q)

    if len(set(base.values)) == 1 and len(set(new.values)) == 1:
        return new.values[0] / base.values[0], new.values[0] / base.values[0]
    result = bootstrap(
        (np.arange(len(of_base)), np.arange(len(of_new))),
        ratio,
        paired=False,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=expanded_level(min(len(of_base), len(of_new))),
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _blocks(series: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return consecutive steps as blocks of all runs, ``[blocks, length]``.

    What does not fill a block is left out at a run's start, which is nearest to its warm-up.
    """
    import numpy as np

    total = sum(len(steps) for steps in series)
    length = min(*(len(steps) for steps in series), block_length(total))
    parts = [np.asarray(steps[len(steps) % length :]).reshape(-1, length) for steps in series]
    return np.concatenate(parts)


def _pooled(blocks: NDArray[np.float64], chosen: NDArray[np.int64], q: float) -> Any:
    """Return the ``q``-quantile of the chosen blocks; ``chosen`` is ``[…, blocks]``."""
    import numpy as np

    picked = blocks[chosen.astype(int)]
    return np.quantile(picked.reshape(*picked.shape[:-2], -1), q, axis=-1)


def inverse(ratio: Estimate) -> Estimate:
    """Return 1 / ``ratio``, as base / new for new / base."""
    return replace(
        ratio,
        value=1 / ratio.value if ratio.value else None,
        low=1 / ratio.high if ratio.high else None,
        high=1 / ratio.low if ratio.low else None,
    )


def of_estimates(base: Estimate, new: Estimate, spread: float = 0.0) -> Estimate:
    """Return the ratio of two estimates, with an interval where both have one.

    The two intervals are taken as independent.

    Args:
        base: of the base.
        new: of the new run.
        spread: by which the interval is widened, a standard deviation of logarithms.
    """
    method = "ratio new / base, both intervals combined"
    if base.value is None or new.value is None:
        return missing("1", method, absent_reason(base, new))
    if base.value <= 0.0 or new.value <= 0.0:
        return missing("1", method, "a ratio needs two positive values")
    value = new.value / base.value
    n = min(base.n, new.n)
    sides = _log_sides(base), _log_sides(new)
    if sides[0] is None or sides[1] is None:
        return Estimate(value=value, unit="1", method=f"{method}: not known", n=n)
    below = math.hypot(sides[0][1], sides[1][0])
    above = math.hypot(sides[0][0], sides[1][1])
    low, high = widened(value, value * math.exp(-below), value * math.exp(above), spread)
    return Estimate(value=value, low=low, high=high, unit="1", method=method, n=n)


def _log_sides(estimate: Estimate) -> tuple[float, float] | None:
    """Return how far the interval reaches below and above the value, as logarithms of ratios."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None or low <= 0.0:
        return None
    return max(0.0, math.log(value / low)), max(0.0, math.log(high / value))


def absent_reason(base: Estimate, new: Estimate) -> str:
    """Say which of two values is null, and why."""
    sides = (("base", base), ("new", new))
    reasons = {name: e.reason or "not measured" for name, e in sides if e.value is None}
    if len(set(reasons.values())) == 1 and len(reasons) == 2:
        return f"null in both: {reasons['base']}"
    return "; ".join(f"null in {name}: {reason}" for name, reason in reasons.items())


#: Two runs whose ratio lies within this of 1 are the same. It is wider than in `compare`, whose
#: candidates are measured in turn: here two processes of one program would never pass ±2 %.
EQUIVALENT_WITHIN = 0.05


def judge(
    ratio: Estimate, witnesses: Sequence[Estimate], words: tuple[Verdict, Verdict]
) -> Verdict | None:
    """Return the verdict; None where there is no interval to judge by.

    Args:
        ratio: new / base.
        witnesses: other ratios, which have to lie on the same side of 1, interval and all.
        words: what a larger and what a smaller value is called.
    """
    if ratio.low is None or ratio.high is None:
        return None
    if ratio.low > 1.0 and all(w.low is not None and w.low > 1.0 for w in witnesses):
        return words[0]
    if ratio.high < 1.0 and all(w.high is not None and w.high < 1.0 for w in witnesses):
        return words[1]
    if ratio.low >= 1 - EQUIVALENT_WITHIN and ratio.high <= 1 + EQUIVALENT_WITHIN:
        return "equivalent"
    return "inconclusive"
