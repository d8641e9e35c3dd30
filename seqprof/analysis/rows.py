"""The summary as flat rows, which a dashboard can plot without code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.statistics import Estimate, median
from seqprof.analysis.summary import Summary
from seqprof.recording import TimestepLatency, Trial

#: Rows with a timestep, over all loops; beyond it neighbouring timesteps share a row.
MOST_TIMESTEP_ROWS = 16_384


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value. Fields after ``method`` are left out where they say nothing."""

    metric: str
    phase: Annotated[str | None, Meta(description="null for what belongs to no phase")]
    timestep: Annotated[int | None, Meta(description="the first one, where a row covers several")]
    value: float | None
    unit: Annotated[str, Meta(description="SI; 1 for ratios and counts")]
    method: str
    low: Annotated[float | None, Meta(description="95 % interval")] = None
    high: float | None = None
    reason: Annotated[str | None, Meta(description="why the value is null")] = None
    loop: Annotated[str | None, Meta(description="module called once per timestep")] = None
    clock: str | None = None
    timesteps: Annotated[int, Meta(description="how many timesteps the row covers")] = 1


def rows(
    summary: Summary, trial: Trial, most_timestep_rows: int = MOST_TIMESTEP_ROWS
) -> tuple[Row, ...]:
    """Return every number of the summary, then each timestep's p50 and p95."""
    return (*_scalars(summary), *_timesteps(trial, most_timestep_rows))


def _row(
    metric: str,
    estimate: Estimate,
    phase: str | None = None,
    loop: str | None = None,
    clock: str | None = None,
) -> Row:
    return Row(
        metric=metric,
        phase=phase,
        timestep=None,
        value=estimate.value,
        unit=estimate.unit,
        method=estimate.method,
        low=estimate.low,
        high=estimate.high,
        reason=estimate.reason,
        loop=loop,
        clock=clock,
    )


def _scalars(summary: Summary) -> Iterator[Row]:
    yield _row("step_time", summary.step)
    yield _row("throughput", summary.throughput)
    yield _row("perturbation", summary.perturbation.change)
    yield _row("mark_cost", summary.perturbation.mark_cost)
    yield _row("padding_share", summary.padding)
    yield from _phases(summary)
    yield from _loops(summary)
    yield from _dwells(summary)


def _phases(summary: Summary) -> Iterator[Row]:
    for phase in summary.phases:
        yield _row("phase_time", phase.time, phase.phase, clock=phase.clock)
        yield _row("phase_share", phase.share, phase.phase, clock=phase.clock)
        yield _row("phase_host_time", phase.host_time, phase.phase, clock="host")
        yield _row("operations", phase.operations, phase.phase)
        yield _row("peak_memory", phase.peak_memory, phase.phase)
    for idle in summary.idle:
        yield _row("nvml_utilization", idle.nvml_utilization, idle.phase)
        yield _row("busy_fraction", idle.busy_fraction, idle.phase)
        yield _row("sm_active", idle.sm_active, idle.phase)
        yield _row("model_flops_utilization", idle.model_flops_utilization, idle.phase)
        yield _row("core_busy_fraction", idle.core_busy_fraction, idle.phase)
        yield _row("idle_time", idle.idle_time, idle.phase)


def _loops(summary: Summary) -> Iterator[Row]:
    for loop in summary.loops:
        where = (loop.phase, loop.loop, loop.clock)
        yield _row("timestep_latency_typical", loop.p50, *where)
        yield _row("timestep_latency_sum", loop.sum_of_means, *where)
        yield _row("loop_time", loop.span, *where)
        yield _row("operations_per_timestep", loop.operations, *where)
    for balance in summary.balances:
        yield _row("outside_loops", balance.remainder, balance.phase, clock=balance.clock)
    for cost in summary.marginal:
        yield _row("marginal_time_per_timestep", cost.marginal, cost.phase)
        yield _row("fixed_time", cost.fixed, cost.phase)


def _dwells(summary: Summary) -> Iterator[Row]:
    for dwell in summary.dwells:
        yield _row("sm_occupancy", dwell.sm_occupancy, dwell.phase)
        yield _row("power", dwell.power, dwell.phase)
        yield _row("energy_per_repetition", dwell.energy, dwell.phase)


def _timesteps(trial: Trial, most: int) -> Iterator[Row]:
    wanted = 2 * sum(len(latency.p50_s) for latency in trial.latencies)
    span = max(1, -(-wanted // max(most, 1)))
    for latency in trial.latencies:
        yield from _quantile(latency, "timestep_latency_p50", latency.p50_s, span)
        yield from _quantile(latency, "timestep_latency_p95", latency.p95_s, span)


def _quantile(
    latency: TimestepLatency, metric: str, values: tuple[float | None, ...], span: int
) -> Iterator[Row]:
    for first in range(0, len(values), span):
        part = values[first : first + span]
        known = [value for value in part if value is not None]
        yield Row(
            metric=metric,
            phase=latency.phase,
            timestep=first,
            value=median(known) if known else None,
            unit="s",
            method="measured",
            reason=None if known else "not marked",
            loop=latency.loop,
            clock=latency.clock,
            timesteps=len(part),
        )
