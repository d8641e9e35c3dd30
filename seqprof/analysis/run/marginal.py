"""The derived cost of one more timestep, where no timestep can be timed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.run.natural import METHOD as NATURAL
from seqprof.analysis.run.natural import points_by_phase
from seqprof.analysis.statistics import Estimate, median, missing
from seqprof.recording import Trial

METHOD = "derived: Theil-Sen slope over a sweep of prefix lengths"
_PHASES: tuple[Literal["forward", "backward", "step"], ...] = ("forward", "backward", "step")
#: 97.5 % point of the normal distribution.
_Z = 1.959963984540054
#: Fewest different lengths, and fewest points, that a slope is derived from.
FEWEST_LENGTHS = 3
FEWEST_POINTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalCost:
    """d(time)/dT, over steps as they came or prefixes. Derived, never measured per timestep."""

    phase: Literal["forward", "backward", "step"]
    marginal: Annotated[Estimate, Meta(description="seconds per timestep")]
    fixed: Annotated[Estimate, Meta(description="intercept: what no timestep pays for")]
    shortest: int | None
    longest: int | None
    misfit: Annotated[
        float | None,
        Meta(
            description="largest |median - line| / median among lengths whose times all lie on one "
            "side of the line; 0 where there is none"
        ),
    ]


def derive_marginal(trial: Trial) -> tuple[MarginalCost, ...]:
    """Return the marginal cost forward, backward and of the step; empty where timesteps were timed.

    Where T varies by itself, that is the measurement. Else it is a sweep of prefixes; one that was
    not taken, or was cut short, gives nulls with the reason.
    """
    natural = points_by_phase(trial)
    if natural:
        return tuple(_derive(phase, *natural[phase], None, natural=True) for phase in _PHASES)
    if trial.latencies and not trial.sweep:
        return ()
    lengths = [float(point.timesteps) for point in trial.sweep]
    return (
        _derive("forward", lengths, [p.forward_s for p in trial.sweep], trial.sweep_reason),
        _derive("backward", lengths, [p.backward_s for p in trial.sweep], trial.sweep_reason),
        _derive("step", lengths, [p.step_s for p in trial.sweep], trial.sweep_reason),
    )


def _derive(
    phase: Literal["forward", "backward", "step"],
    lengths: Sequence[float],
    times: Sequence[float],
    reason: str | None,
    natural: bool = False,
) -> MarginalCost:
    method = NATURAL if natural else METHOD
    different = len(set(lengths))
    if different < FEWEST_LENGTHS or len(lengths) < FEWEST_POINTS:
        short = (
            f"{len(lengths)} points at {different} lengths; "
            f"{FEWEST_POINTS} at {FEWEST_LENGTHS} are needed"
        )
        absent = reason or short
        return MarginalCost(
            phase=phase,
            marginal=missing("s", method, absent, n=len(lengths)),
            fixed=missing("s", method, absent, n=len(lengths)),
            shortest=None,
            longest=None,
            misfit=None,
        )
    slope, low, high = theil_sen(lengths, times)
    intercept = median(times) - slope * median(lengths)
    return MarginalCost(
        phase=phase,
        marginal=Estimate(value=slope, low=low, high=high, unit="s", method=method, n=len(lengths)),
        fixed=Estimate(value=intercept, unit="s", method=method, n=len(lengths)),
        shortest=int(min(lengths)),
        longest=int(max(lengths)),
        misfit=_misfit(lengths, times, slope, intercept),
    )


def theil_sen(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the pairwise slopes with its 95 % interval (Sen 1968, with ties).

    The same formula as ``scipy.stats.theilslopes``, whose import alone takes over a second.

    Raises:
        ValueError: no two points differ in ``x``.
    """
    points = sorted(zip(x, y, strict=True))
    slopes = sorted(
        (b[1] - a[1]) / (b[0] - a[0])
        for index, a in enumerate(points)
        for b in points[index + 1 :]
        if b[0] > a[0]
    )
    slope = median(slopes)
    variance = _kendall(len(y)) - sum(map(_kendall, _ties(x))) - sum(map(_kendall, _ties(y)))
    reach = _Z * math.sqrt(max(variance, 0.0) / 18.0)
    lower = max(round((len(slopes) - reach) / 2) - 1, 0)
    upper = min(round((len(slopes) + reach) / 2), len(slopes) - 1)
    return slope, slopes[lower], slopes[upper]


def _kendall(n: int) -> int:
    return n * (n - 1) * (2 * n + 5)


def _ties(values: Iterable[float]) -> list[int]:
    return [count for count in Counter(values).values() if count > 1]


def _misfit(x: Sequence[float], y: Sequence[float], slope: float, intercept: float) -> float:
    by_length: defaultdict[float, list[float]] = defaultdict(list)
    for length, time in zip(x, y, strict=True):
        by_length[length].append(time)
    misfit = 0.0
    for length, times in by_length.items():
        line, centre = intercept + slope * length, median(times)
        # Times on both sides are noise around the line, however large it is.
        if centre > 0.0 and (min(times) > line or max(times) < line):
            misfit = max(misfit, abs(centre - line) / centre)
    return misfit
