"""A scaling as flat rows: each point, how the cost grows, and where models cross."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from seqprof.analysis.growth import Growth
from seqprof.analysis.rows import Row, depth_rows, of_estimate
from seqprof.analysis.scaled import BatchGrowth, LengthGrowth, Meeting, Point, ScaledSummary


def rows(summary: ScaledSummary) -> tuple[Row, ...]:
    """Return every number of the summary, named as in the rows of a run where it has its like."""
    return (
        *(row for point in summary.points for row in _point(point)),
        *(row for line in summary.lengths for row in _length(line)),
        *(row for line in summary.batches for row in _batch(line)),
        *(_meeting(meeting) for meeting in summary.crossovers),
    )


def _point(point: Point) -> Iterator[Row]:
    where: dict[str, Any] = {
        "candidate": point.label,
        "seq_len": point.timesteps,
        "batch_size": point.batch_size,
    }
    yield of_estimate("step_time", point.step, **where)
    yield of_estimate("phase_time", point.forward, "forward", **where)
    yield of_estimate("phase_time", point.backward, "backward", **where)
    yield of_estimate("peak_memory", point.peak_memory, "step", **where)
    yield of_estimate(point.busy_source, point.busy, "step", **where)
    for row in depth_rows(point.depth):
        yield msgspec.structs.replace(row, **where)


def _length(line: LengthGrowth) -> Iterator[Row]:
    growth = line.growth
    where: dict[str, Any] = {"candidate": line.label, "batch_size": line.batch_size}
    yield of_estimate("marginal_time_per_timestep", growth.marginal, line.phase, **where)
    yield of_estimate("fixed_time", growth.fixed, line.phase, **where)
    yield from _fit("growth_with_length", growth, line.phase, where)
    for local in growth.local_exponents:
        yield of_estimate(
            "local_growth_with_length", local.exponent, line.phase, seq_len=local.start, **where
        )


def _batch(line: BatchGrowth) -> Iterator[Row]:
    growth = line.growth
    where: dict[str, Any] = {"candidate": line.label, "seq_len": line.timesteps}
    yield of_estimate("marginal_time_per_sequence", growth.marginal, "step", **where)
    yield from _fit("growth_with_batch", growth, "step", where)
    yield Row(
        metric="saturated_batch",
        phase="step",
        timestep=None,
        value=line.saturation.batch,
        unit="1",
        method="smallest batch from which on no doubling lifts sequences/s by 10 %",
        reason=line.saturation.reason if line.saturation.batch is None else None,
        **where,
    )


def _fit(metric: str, growth: Growth, phase: str, where: dict[str, Any]) -> Iterator[Row]:
    yield of_estimate(metric, growth.exponent, phase, **where)
    yield Row(
        metric=f"{metric}_misfit",
        phase=phase,
        timestep=None,
        value=growth.power_misfit,
        unit="1",
        method="largest |median - power law| / median",
        reason=_why_no_misfit(growth),
        **where,
    )


def _why_no_misfit(growth: Growth) -> str | None:
    if growth.power_misfit is not None:
        return None
    return growth.exponent.reason or "every power law goes through two sizes"


def _meeting(meeting: Meeting) -> Row:
    return of_estimate(
        "crossover_length" if meeting.quantity == "step" else "crossover_length_in_memory",
        meeting.crossover.length,
        candidate=meeting.first,
        against=meeting.second,
        batch_size=meeting.batch_size,
        verdict="extrapolated" if meeting.crossover.extrapolated else None,
    )
