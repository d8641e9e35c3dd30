"""How a cost grows with sequence length or batch size, from plain arrays.

What repeats are for: the interval of everything here comes from resampling the rounds at each
length (bootstrap over rounds, not steps: :mod:`seqprof.analysis.scale.resampled`). With one round
only there is Sen's own interval of the slope, and none of the rest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from seqprof.analysis.compare.comparison import expanded_level
from seqprof.analysis.scale.resampled import percentiles, resample_medians
from seqprof.analysis.statistics import Estimate, median, missing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SLOPE_METHOD = "Theil-Sen slope of time over size"
POWER_METHOD = "Theil-Sen slope of log time over log size"
LOCAL_METHOD = "log(time ratio) / log(size ratio) of neighbouring sizes"
LOCAL_SLOPE_METHOD = "time difference / size difference of neighbouring sizes"
LIFT_METHOD = "sequences/s at the largest batch over those at the one before, less 1"
#: A fit that misses a median by more does not describe the growth. (Line and power law miss
#: published GPU tables by 4 to 11 %.)
DESCRIBES_WITHIN = 0.15
#: A doubling of the batch that lifts the throughput by less has stopped to pay.
SATURATED_BELOW = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalExponent:
    """log2(time(2T) / time(T)), or its like where the sizes are no doublings."""

    start: int
    stop: int
    exponent: Estimate
    marginal: Annotated[Estimate, Meta(description="price of one more between these two sizes")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A cost over sizes (sequence lengths, or batch sizes)."""

    sizes: tuple[int, ...]
    medians_s: Annotated[
        tuple[float, ...],
        Meta(description="median over the rounds that no spell of load made slow, by size"),
    ]
    marginal: Annotated[Estimate, Meta(description="the price of one more (timestep, sequence)")]
    fixed: Annotated[Estimate, Meta(description="intercept of the line: what no size pays for")]
    line_misfit: Annotated[
        float | None, Meta(description="largest |median - line| / median; null below three sizes")
    ]
    exponent: Annotated[Estimate, Meta(description="of one power law over all sizes")]
    power_misfit: Annotated[
        float | None,
        Meta(description="largest |median - power law| / median; null below three sizes"),
    ]
    local_exponents: tuple[LocalExponent, ...]

    @property
    def is_line(self) -> bool:
        """Whether a line describes the growth; then the price of one more is the same anywhere."""
        return self.line_misfit is not None and self.line_misfit <= DESCRIBES_WITHIN

    @property
    def is_power(self) -> bool:
        """Whether one power law describes it."""
        return self.power_misfit is not None and self.power_misfit <= DESCRIBES_WITHIN


def fit_growth(sizes: Sequence[int], seconds: Sequence[float]) -> Growth:
    """Fit how ``seconds`` grow with ``sizes``; both ``[N]``, a size repeated for each round.

    Those of one size are in order of time.

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
    if len(points) < 2:
        medians = [median(times) for times in by_size.values()]
        reason = f"measured at {len(points)} sizes; growth needs two"
        return _unfitted(points, medians, len(seconds), reason)
    import numpy as np

    x = np.asarray(points, dtype=np.float64)
    rounds = resample_medians(tuple(by_size.values()))
    y, resampled = np.asarray(rounds.medians), rounds.drawn
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
        medians_s=rounds.medians,
        marginal=_estimate(slope, slopes, "s", SLOPE_METHOD, n),
        fixed=_estimate(fixed, fixeds, "s", SLOPE_METHOD, n),
        line_misfit=_misfit(fixed + slope * x, y),
        exponent=_estimate(exponent, exponents, "1", POWER_METHOD, n),
        power_misfit=_misfit(np.exp(factor + exponent * np.log(x)), y),
        local_exponents=_local_growth(points, y, resampled, level, n),
    )


def _misfit(fitted: Array, y: Array) -> float | None:
    """Return the largest |median - fit| / median; every fit goes through two points."""
    return float((abs(fitted - y) / y).max()) if len(y) > 2 else None


def withhold_growth(growth: Growth, reason: str | None) -> Growth:
    """Return the growth, or its medians alone, where a ``reason`` forbids to conclude from them."""
    if reason is None or len(growth.sizes) < 2:
        return growth
    return _unfitted(growth.sizes, growth.medians_s, growth.marginal.n, reason)


def _unfitted(points: tuple[int, ...], medians: Sequence[float], n: int, reason: str) -> Growth:
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
    """Return the times of each size in their order, sizes ascending.

    Raises:
        ValueError: arrays of different lengths, or values that are not positive and finite.
    """
    if len(sizes) != len(seconds):
        raise ValueError(f"{len(sizes)} sizes and {len(seconds)} times")
    if not all(0.0 < value < math.inf for value in (*sizes, *seconds)):
        raise ValueError("sizes and times must be positive and finite")
    times: defaultdict[int, list[float]] = defaultdict(list)
    for size, time in sorted(zip(sizes, seconds, strict=True), key=lambda pair: pair[0]):
        times[int(size)].append(float(time))
    return dict(times)


def theil_sen(x: Array, y: Array) -> Array:
    """Return the median of the slopes of all pairs; ``y`` is ``[..., N]``, the result ``[...]``."""
    import numpy as np

    i, j = np.triu_indices(len(x), 1)
    slopes: Array = np.median((y[..., j] - y[..., i]) / (x[j] - x[i]), axis=-1)
    return slopes


def _sens_interval(x: Array, y: Array) -> tuple[float, float] | None:
    """Return Sen's interval of the slope (from ranks); None below four points."""
    from scipy.stats import theilslopes  # type: ignore[import-untyped]

    if len(x) < 4:
        return None
    slopes = theilslopes(y, x, alpha=0.95)
    return float(slopes.low_slope), float(slopes.high_slope)


def _estimate(
    value: float, interval: tuple[float, float] | None, unit: str, method: str, n: int
) -> Estimate:
    low, high = interval or (None, None)
    return Estimate(value=value, low=low, high=high, unit=unit, method=method, n=n)


def _local_growth(
    points: tuple[int, ...], y: Array, resampled: Array | None, level: float, n: int
) -> tuple[LocalExponent, ...]:
    import numpy as np

    def estimate(value: float, drawn: Array | None, unit: str, method: str) -> Estimate:
        interval = None if drawn is None else percentiles(drawn, level)
        return _estimate(value, interval, unit, method, n)

    local = []
    for index, (start, stop) in enumerate(pairwise(points)):
        apart, ratio = stop - start, math.log(stop / start)
        powers = slopes = None
        if resampled is not None:
            below, above = resampled[:, index], resampled[:, index + 1]
            powers, slopes = np.log(above / below) / ratio, (above - below) / apart
        power = math.log(y[index + 1] / y[index]) / ratio
        slope = float(y[index + 1] - y[index]) / apart
        local.append(
            LocalExponent(
                start=start,
                stop=stop,
                exponent=estimate(power, powers, "1", LOCAL_METHOD),
                marginal=estimate(slope, slopes, "s", LOCAL_SLOPE_METHOD),
            )
        )
    return tuple(local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """Where a larger batch stops to pay."""

    batch: Annotated[int | None, Meta(description="null where none was found")]
    agreement: Annotated[
        float | None,
        Meta(description="share of resamples of the rounds that give the same; null without them"),
    ] = None
    last_lift: Annotated[Estimate, Meta(description="what the last doubling added to sequences/s")]
    reason: str | None = None

    @property
    def withheld(self) -> bool:
        """Whether nothing can be said, rather than that the largest batch still pays."""
        return self.last_lift.value is None


def find_saturation(batches: Sequence[int], seconds: Sequence[float]) -> Saturation:
    """Return the batch size from which on no doubling lifts sequences/s by 10 % or more.

    Args:
        batches: sequences per step, ``[N]``, one repeated for each round.
        seconds: time of the step.

    Raises:
        ValueError: as :func:`fit_growth`.
    """
    times = group(batches, seconds)
    sizes = list(times)
    if len(sizes) < 2:
        reason = "measured at one batch size only"
        lift = missing("1", LIFT_METHOD, reason, len(seconds))
        return Saturation(batch=None, last_lift=lift, reason=reason)
    import numpy as np

    resampled = resample_medians(tuple(times.values()))
    lifts = _lifts(sizes, np.asarray([resampled.medians]))
    saturated = _saturated(lifts)[0]
    agreement = interval = None
    if resampled.drawn is not None:
        drawn = _lifts(sizes, resampled.drawn)
        agreement = float(np.mean(_saturated(drawn) == saturated))
        interval = percentiles(drawn[:, -1], expanded_level(min(map(len, times.values()))))
    size = int(saturated)
    return Saturation(
        batch=sizes[size] if size < len(sizes) - 1 else None,
        agreement=agreement,
        last_lift=_estimate(float(lifts[0, -1]), interval, "1", LIFT_METHOD, len(seconds)),
        reason=None if size < len(sizes) - 1 else f"not reached: {sizes[-1]} still pays",
    )


def withheld(saturation: Saturation, reason: str | None) -> Saturation:
    """Return what was found, or that it cannot be told, for the ``reason``."""
    if reason is None:
        return saturation
    lift = missing("1", LIFT_METHOD, reason, saturation.last_lift.n)
    return replace(saturation, batch=None, agreement=None, last_lift=lift, reason=reason)


def _lifts(sizes: Sequence[int], times: Array) -> Array:
    """Return what each step to the next size adds to sequences/s, as for a doubling: ``[M, N-1]``.

    ``times`` is ``[M, N]``.
    """
    import numpy as np

    batches = np.asarray(sizes, dtype=np.float64)
    rates = batches / times
    doublings = np.log2(batches[1:] / batches[:-1])
    lifts: Array = (rates[:, 1:] / rates[:, :-1]) ** (1 / doublings) - 1
    return lifts


def _saturated(lifts: Array) -> NDArray[np.int64]:
    """Return the index of the size from which on no lift pays; the last size's if all may: [M]."""
    import numpy as np

    pays = lifts >= SATURATED_BELOW
    count = pays.shape[1]
    last: NDArray[np.int64] = np.where(
        pays.any(axis=1), count - np.argmax(pays[:, ::-1], axis=1), 0
    )
    return last
