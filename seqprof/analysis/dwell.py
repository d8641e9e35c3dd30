"""What the device's slow counters say of one phase, from samples wholly inside its dwell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.statistics import Estimate, mean, missing
from seqprof.recording import DeviceSamples, Dwell, SampleSeries, Trial

#: NVML's energy counter is updated every 10-20 ms: over a shorter window it says nothing.
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
    series = find_series(samples, "energy_j")
    method = "energy counter over the dwell / repetitions in that time"
    if series is None:
        return missing("J", method, _absent("energy_j", samples))
    values = fresh_samples(series, dwell.started_at_s, dwell.ended_at_s)
    window = max(values, default=0.0) - min(values, default=0.0)
    if window < SHORTEST_ENERGY_S or not dwell.repeats:
        reason = f"the counter was read over {window:.2f} s, {SHORTEST_ENERGY_S:g} s are needed"
        return missing("J", method, reason, n=len(values))
    power = (values[max(values)] - values[min(values)]) / window
    per_repeat = (dwell.ended_at_s - dwell.started_at_s) / dwell.repeats
    return Estimate(
        value=power * per_repeat, unit="J", method=f"{series.source}: {method}", n=len(values)
    )
