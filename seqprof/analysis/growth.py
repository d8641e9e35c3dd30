"""How a cost grows with sequence length or batch size, from plain arrays.

What repeats are for: the interval of everything here comes from resampling the rounds at each
length (bootstrap over rounds, not steps). With one round only there is Sen's own interval of the
slope, and none of the rest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from seqprof.analysis.comparison import RESAMPLES, SEED, expanded_level
from seqprof.analysis.statistics import Estimate, median, missing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SLOPE_METHOD = "Theil-Sen slope of time over size"
POWER_METHOD = "Theil-Sen slope of log time over log size"
LOCAL_METHOD = "log(time ratio) / log(size ratio) of neighbouring sizes"
#: Rounds at every size from which its spread is resampled: the range of five values covers the
#: median with 94 %, that of three with 75 %.
FEWEST_ROUNDS = 5
#: A doubling of the batch that lifts the throughput by less has stopped to pay.
SATURATED_BELOW = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalExponent:
    """log2(time(2T) / time(T)), or its like where the sizes are no doublings."""

    start: int
    stop: int
    exponent: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A cost over sizes (sequence lengths, or batch sizes)."""

    sizes: tuple[int, ...]
    medians_s: Annotated[tuple[float, ...], Meta(description="median over rounds, by size")]
    marginal: Annotated[Estimate, Meta(description="the price of one more (timestep, sequence)")]
    fixed: Annotated[Estimate, Meta(description="intercept of the line: what no size pays for")]
    line_misfit: Annotated[
        float | None, Meta(description="largest |median - line| / median; null without a line")
    ]
    exponent: Annotated[Estimate, Meta(description="of one power law over all sizes")]
    power_misfit: Annotated[float | None, Meta(description="largest |median - power law| / median")]
    local_exponents: tuple[LocalExponent, ...]


def fit_growth(sizes: Sequence[int], seconds: Sequence[float]) -> Growth:
    """Fit how ``seconds`` grow with ``sizes``; both ``[N]``, a size repeated for each round.

    Slope and exponent are Theil–Sen's over the medians of the sizes: the median of the slopes of
    all pairs, which up to 29 % wild medians do not move. A single power law rarely fits GPU tables,
    so each has its misfit beside it, and the local exponents tell where the growth changes.

    Returns:
        Nulls with reasons where fewer than two different sizes were measured.

    Raises:
        ValueError: arrays of different lengths, or values that are not positive and finite.
    """
    by_size = group(sizes, seconds)
    points = tuple(by_size)
    medians = [median(times) for times in by_size.values()]
    if len(points) < 2:
        return _unfitted(points, medians, len(seconds))
    import numpy as np

    x = np.asarray(points, dtype=np.float64)
    y = np.asarray(medians)
    resampled = resample_medians(tuple(by_size.values()))
    slope, exponent = float(theil_sen(x, y)), float(theil_sen(np.log(x), np.log(y)))
    fixed = float(np.median(y - slope * x))
    factor = float(np.median(np.log(y) - exponent * np.log(x)))
    level = expanded_level(min(map(len, by_size.values()))) if resampled is not None else 0.0
    n = len(seconds)
    slopes = _sens_interval(x, y)
    fixeds = exponents = None
    if resampled is not None:
        drawn = theil_sen(x, resampled)
        slopes = percentiles(drawn, level)
        fixeds = percentiles(np.median(resampled - drawn[:, None] * x, axis=1), level)
        exponents = percentiles(theil_sen(np.log(x), np.log(resampled)), level)
    return Growth(
        sizes=points,
        medians_s=tuple(medians),
        marginal=_estimate(slope, slopes, "s", SLOPE_METHOD, n),
        fixed=_estimate(fixed, fixeds, "s", SLOPE_METHOD, n),
        line_misfit=float(np.max(np.abs(fixed + slope * x - y) / y)),
        exponent=_estimate(exponent, exponents, "1", POWER_METHOD, n),
        power_misfit=float(np.max(np.abs(np.exp(factor + exponent * np.log(x)) - y) / y)),
        local_exponents=_local_exponents(points, y, resampled, level, n),
    )


def _unfitted(points: tuple[int, ...], medians: list[float], n: int) -> Growth:
    reason = f"measured at {len(points)} sizes; growth needs two"
    return Growth(
        sizes=points,
        medians_s=tuple(medians),
        marginal=missing("s", SLOPE_METHOD, reason, n),
        fixed=missing("s", SLOPE_METHOD, reason, n),
        line_misfit=None,
        exponent=missing("1", POWER_METHOD, reason, n),
        power_misfit=None,
        local_exponents=(),
    )


def group(sizes: Sequence[int], seconds: Sequence[float]) -> dict[int, list[float]]:
    """Return the times of each size, sizes ascending.

    Raises:
        ValueError: arrays of different lengths, or values that are not positive and finite.
    """
    if len(sizes) != len(seconds):
        raise ValueError(f"{len(sizes)} sizes and {len(seconds)} times")
    if not all(0.0 < value < math.inf for value in (*sizes, *seconds)):
        raise ValueError("sizes and times must be positive and finite")
    times: defaultdict[int, list[float]] = defaultdict(list)
    for size, time in sorted(zip(sizes, seconds, strict=True)):
        times[int(size)].append(float(time))
    return dict(times)


def resample_medians(times: Sequence[Sequence[float]]) -> Array | None:
    """Return ``[RESAMPLES, sizes]`` medians of resampled rounds; None below five at any size."""
    if min(map(len, times)) < FEWEST_ROUNDS:
        return None
    import numpy as np
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    def draw(index: int, values: Sequence[float]) -> Any:
        if len(set(values)) == 1:
            return np.full(RESAMPLES, values[0])
        return bootstrap(
            (np.asarray(values),),
            np.median,
            vectorized=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(SEED + index),
        ).bootstrap_distribution

    return np.stack([draw(index, values) for index, values in enumerate(times)], axis=1)


def theil_sen(x: Array, y: Array) -> Array:
    """Return the median of the slopes of all pairs; ``y`` is ``[..., N]``, the result ``[...]``."""
    import numpy as np

    i, j = np.triu_indices(len(x), 1)
    slopes: Array = np.median((y[..., j] - y[..., i]) / (x[j] - x[i]), axis=-1)
    return slopes


def _sens_interval(x: Array, y: Array) -> tuple[float, float] | None:
    """Return Sen's interval of the slope (from ranks); None below four points."""
    from scipy.stats import theilslopes

    if len(x) < 4:
        return None
    found = theilslopes(y, x, alpha=0.95)
    return float(found.low_slope), float(found.high_slope)


def percentiles(values: Array, level: float) -> tuple[float, float]:
    """Return the central interval that holds ``level`` of ``values``."""
    import numpy as np

    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _estimate(
    value: float, interval: tuple[float, float] | None, unit: str, method: str, n: int
) -> Estimate:
    low, high = interval or (None, None)
    return Estimate(value=value, low=low, high=high, unit=unit, method=method, n=n)


def _local_exponents(
    points: tuple[int, ...], y: Array, resampled: Array | None, level: float, n: int
) -> tuple[LocalExponent, ...]:
    import numpy as np

    local = []
    for index in range(len(points) - 1):
        ratio = math.log(points[index + 1] / points[index])
        value = math.log(y[index + 1] / y[index]) / ratio
        interval = None
        if resampled is not None:
            drawn = np.log(resampled[:, index + 1] / resampled[:, index]) / ratio
            interval = percentiles(drawn, level)
        local.append(
            LocalExponent(
                start=points[index],
                stop=points[index + 1],
                exponent=_estimate(value, interval, "1", LOCAL_METHOD, n),
            )
        )
    return tuple(local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """Where a larger batch stops to pay."""

    batch: Annotated[int | None, Meta(description="null where none was found")]
    reason: str | None = None


def find_saturation(batches: Sequence[int], seconds: Sequence[float]) -> Saturation:
    """Return the batch size from which on no doubling lifts sequences/s by 10 % or more.

    Args:
        batches: sequences per step, ``[N]``, one repeated for each round.
        seconds: time of the step.

    Raises:
        ValueError: as :func:`fit_growth`.
    """
    times = {batch: median(values) for batch, values in group(batches, seconds).items()}
    if len(times) < 2:
        return Saturation(batch=None, reason="measured at one batch size only")
    sizes = list(times)
    saturated: int | None = None
    for small, large in reversed(list(pairwise(sizes))):
        lift = (large / times[large]) / (small / times[small])
        if lift ** (1 / math.log2(large / small)) - 1 >= SATURATED_BELOW:
            break
        saturated = small
    if saturated is None:
        return Saturation(batch=None, reason=f"not reached: {sizes[-1]} still pays")
    return Saturation(batch=saturated)
