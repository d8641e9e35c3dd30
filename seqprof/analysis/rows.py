"""The summary as flat rows, which a dashboard can plot without code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seqprof.analysis.profile import ProfileSummary
from seqprof.analysis.statistics import Estimate, median
from seqprof.analysis.summary import Summary
from seqprof.recording import DepthLaw, TimestepLatency, Trial

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
    cause: Annotated[str | None, Meta(description="of idle time that is split by cause")] = None
    candidate: Annotated[
        str | None, Meta(description="the model, where a command measured several")
    ] = None
    against: Annotated[str | None, Meta(description="the other model of a ratio or crossover")] = (
        None
    )
    seq_len: Annotated[int | None, Meta(description="T, where several were measured")] = None
    batch_size: Annotated[int | None, Meta(description="where several were measured")] = None
    device: Annotated[int | None, Meta(description="of a trace")] = None
    step: Annotated[str | None, Meta(description="of a trace: as the profiler called it")] = None
    kernel: Annotated[str | None, Meta(description="or operator, of a trace")] = None
    verdict: Annotated[str | None, Meta(description="of a comparison: faster, slower …")] = None


def rows(
    summary: Summary, trial: Trial, most_timestep_rows: int = MOST_TIMESTEP_ROWS
) -> tuple[Row, ...]:
    """Return every number of the summary, then each timestep's p50 and p95."""
    return (*_scalars(summary), *_timesteps(trial, most_timestep_rows))


def of_estimate(metric: str, estimate: Estimate, phase: str | None = None, **where: Any) -> Row:
    """Return the row of an estimate; ``where``: further fields of :class:`Row`."""
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
        **where,
    )


def _scalars(summary: Summary) -> Iterator[Row]:
    yield of_estimate("step_time", summary.step)
    yield of_estimate("throughput", summary.throughput)
    yield of_estimate("perturbation", summary.perturbation.change)
    yield of_estimate("mark_cost", summary.perturbation.mark_cost)
    yield of_estimate("padding_share", summary.padding)
    yield from _phases(summary)
    yield from _loops(summary)
    yield from _dwells(summary)
    yield from depth_rows(summary.depth)
    if summary.profile is not None:
        yield from _profile(summary.profile)


def _phases(summary: Summary) -> Iterator[Row]:
    for phase in summary.phases:
        yield of_estimate("phase_time", phase.time, phase.phase, clock=phase.clock)
        yield of_estimate("phase_share", phase.share, phase.phase, clock=phase.clock)
        yield of_estimate("phase_host_time", phase.host_time, phase.phase, clock="host")
        yield of_estimate("operations", phase.operations, phase.phase)
        yield of_estimate("peak_memory", phase.peak_memory, phase.phase)
    for idle in summary.idle:
        yield of_estimate("nvml_utilization", idle.nvml_utilization, idle.phase)
        yield of_estimate("busy_fraction", idle.busy_fraction, idle.phase)
        yield of_estimate("sm_active", idle.sm_active, idle.phase)
        yield of_estimate("model_flops_utilization", idle.model_flops_utilization, idle.phase)
        yield of_estimate("core_busy_fraction", idle.core_busy_fraction, idle.phase)
        yield of_estimate("idle_time", idle.idle_time, idle.phase)


def _loops(summary: Summary) -> Iterator[Row]:
    for loop in summary.loops:
        where: dict[str, Any] = {"phase": loop.phase, "loop": loop.loop, "clock": loop.clock}
        yield of_estimate("timestep_latency_typical", loop.p50, **where)
        yield of_estimate("timestep_latency_sum", loop.sum_of_means, **where)
        yield of_estimate("loop_time", loop.span, **where)
        yield of_estimate("operations_per_timestep", loop.operations, **where)
    for balance in summary.balances:
        yield of_estimate("outside_loops", balance.remainder, balance.phase, clock=balance.clock)
    for cost in summary.marginal:
        yield of_estimate("marginal_time_per_timestep", cost.marginal, cost.phase)
        yield of_estimate("fixed_time", cost.fixed, cost.phase)


def _dwells(summary: Summary) -> Iterator[Row]:
    for dwell in summary.dwells:
        yield of_estimate("sm_occupancy", dwell.sm_occupancy, dwell.phase)
        yield of_estimate("power", dwell.power, dwell.phase)
        yield of_estimate("energy_per_repetition", dwell.energy, dwell.phase)


def _profile(profile: ProfileSummary) -> Iterator[Row]:
    """Yield the profiled pass: busy and idle of each phase, and idle by its cause."""
    yield of_estimate("profiler_slowdown", profile.slowdown)
    made = profile.measured
    whole = () if made.whole is None else (made.whole,)
    what = "kernel timeline" if made.on == "device" else "operators on the processor stand in"
    for found in (*made.phases, *whole):
        told = (
            ("profiled_window", found.window_s, None),
            ("profiled_busy_time", found.busy_s, None),
            ("profiled_idle_time", found.idle_s, None),
            *(("idle_time_by_cause", s, cause) for cause, s in found.idle_by_cause_s.items()),
        )
        for metric, seconds, cause in told:
            yield Row(
                metric=metric,
                phase=found.phase,
                timestep=None,
                value=seconds,
                unit="s",
                method=f"profiled steps, mean: {what}",
                cause=cause,
            )
    for total in made.activities:
        yield Row(
            metric="kernel_time",
            phase=None,
            timestep=None,
            value=total.total_s,
            unit="s",
            method=f"profiled steps, all runs in a step: {what}",
            kernel=total.name,
        )


#: Term of a law over T to the metric that its coefficient is.
_DEPTH_LAW = {
    "T²": "depth_law_t_squared",
    "T·⌈log2 T⌉": "depth_law_t_log2_t",
    "T": "depth_law_t",
    "⌈log2 T⌉": "depth_law_log2_t",
    "⌊log2 T⌋": "depth_law_log2_t_floor",
    "1": "depth_law_constant",
}


def depth_rows(depth: DepthLaw | None) -> Iterator[Row]:
    """Yield depth and work of the longest chain at T, and each coefficient of the depth's law."""
    if depth is None:
        reason: str | None = "the run ended before it, or the recording is older than depth"
        depth_ops = work_ops = None
    else:
        reason, depth_ops, work_ops = depth.reason, depth.depth_ops, depth.work_ops
    told: tuple[tuple[str, int | None, str], ...] = (
        ("depth", depth_ops, "derived: operations on the longest chain, from shapes alone"),
        ("depth_work", work_ops, "derived: operations in all, views excluded, from shapes alone"),
    )
    for metric, count, method in told:
        yield Row(
            metric=metric,
            phase=None,
            timestep=None,
            value=count,
            unit="1",
            method=method,
            reason=(reason or "no exact law over T") if count is None else None,
        )
    for term, coefficient in (depth.coefficients if depth else {}).items():
        yield Row(
            metric=_DEPTH_LAW[term],
            phase=None,
            timestep=None,
            value=coefficient,
            unit="1",
            method=f"derived: the law of depth over T, {depth.law if depth else ''}",
        )


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
