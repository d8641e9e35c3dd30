"""What the device's slow counters say of one phase, from samples wholly inside its dwell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.statistics import Estimate, mean, missing
from seqprof.recording import DeviceSamples, Dwell, SampleSeries, Trial

#: NVML's energy counter is updated every 10 to 100 ms: over a shorter window it says little.
SHORTEST_ENERGY_S = 1.0
#: Samples that a phase needs where the spec does not say (the spec's own default).
DEFAULT_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DwellSummary:
    """One phase, repeated alone."""

    phase: Literal["forward", "backward", "step"]
    duration_s: float
    repeats: int
    per_repeat_s: float | None
    nvml_utilization: Estimate
    sm_active: Estimate
    sm_occupancy: Estimate
    power: Annotated[Estimate, Meta(description="mean, in watts")]
    energy: Annotated[Estimate, Meta(description="joules per repetition")]
    reason: str | None


def summarise_dwells(trial: Trial, needed: int | None) -> tuple[DwellSummary, ...]:
    """Return what each dwell gave; a mean needs ``needed`` fresh samples."""
    least = needed or DEFAULT_SAMPLES
    return tuple(_summarise(dwell, trial.samples, least) for dwell in trial.dwells)


def _summarise(dwell: Dwell, samples: DeviceSamples, needed: int) -> DwellSummary:
    duration = dwell.ended_at_s - dwell.started_at_s

    def average(metric: str, unit: str) -> Estimate:
        return _average(metric, unit, dwell, samples, needed)

    return DwellSummary(
        phase=dwell.phase,
        duration_s=duration,
        repeats=dwell.repeats,
        per_repeat_s=duration / dwell.repeats if dwell.repeats else None,
        nvml_utilization=average("nvml_utilization", "1"),
        sm_active=average("sm_active", "1"),
        sm_occupancy=average("sm_occupancy", "1"),
        power=average("power_w", "W"),
        energy=_energy(dwell, samples),
        reason=dwell.reason,
    )


def fresh_samples(series: SampleSeries, start_s: float, end_s: float) -> dict[float, float]:
    """Return the values, by time, whose whole window lies inside [start, end]."""
    window = series.window_s or 0.0
    return {
        at: value
        for at, value in zip(series.at_s, series.value, strict=True)
        if at - window >= start_s and at <= end_s
    }


def find_series(samples: DeviceSamples, metric: str) -> SampleSeries | None:
    """Return the series of ``metric``, or None when the sampler brought none."""
    return next((series for series in samples.series if series.metric == metric), None)


def _absent(metric: str, samples: DeviceSamples) -> str:
    return samples.absent.get(metric) or samples.reason or f"the device gave no {metric} samples"


def _average(metric: str, unit: str, dwell: Dwell, samples: DeviceSamples, needed: int) -> Estimate:
    series = find_series(samples, metric)
    method = f"mean of samples wholly inside the {dwell.phase} dwell"
    if series is None:
        return missing(unit, method, _absent(metric, samples))
    method = f"{series.source}: {method}"
    values = fresh_samples(series, dwell.started_at_s, dwell.ended_at_s)
    if len(values) < needed:
        reason = f"{len(values)} fresh samples wholly inside the dwell, {needed} are needed"
        cut = f"; {dwell.reason}" if dwell.reason else ""
        return missing(unit, method, reason + cut, n=len(values))
    return Estimate(value=mean(values.values()), unit=unit, method=method, n=len(values))


def _energy(dwell: Dwell, samples: DeviceSamples) -> Estimate:
    """Joules per repetition, from the first to the last *change* of the driver's counter.

    A reading only bounds when the counter changed: between the reading before and it. So the time
    between two changes is known to one interval of polls either side, and the counter itself is
    brought up to date once a period; the interval allows for one of either.
    """
    series = find_series(samples, "energy_j")
    method = "energy counter from change to change in the dwell / repetitions in that time"
    if series is None:
        return missing("J", method, _absent("energy_j", samples))
    values = fresh_samples(series, dwell.started_at_s, dwell.ended_at_s)
    changes = _changes(values)
    window = changes[-1][0] - changes[0][0] if changes else 0.0
    if window < SHORTEST_ENERGY_S or not dwell.repeats:
        reason = f"the counter changed over {window:.2f} s, {SHORTEST_ENERGY_S:g} s are needed"
        return missing("J", method, reason, n=len(values))
    per_repeat = (dwell.ended_at_s - dwell.started_at_s) / dwell.repeats
    joules = (changes[-1][1] - changes[0][1]) * per_repeat
    period = window / (len(changes) - 1)
    return Estimate(
        value=joules / window,
        low=joules / (window + period),
        high=joules / (window - period) if window > period else None,
        unit="J",
        method=f"{series.source}: {method}; interval: one period of the counter either way",
        n=len(changes),
    )


def _changes(values: dict[float, float]) -> list[tuple[float, float]]:
    """The readings at which the counter had changed, as (time, joules), in order of time."""
    ordered = sorted(values.items())
    return [later for earlier, later in pairwise(ordered) if later[1] != earlier[1]]
