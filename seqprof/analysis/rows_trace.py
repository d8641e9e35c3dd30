"""A trace as flat rows: busy and idle by phase, step and cause, timesteps, kernels. SI seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqprof.analysis.rows import Row
from seqprof.analysis.timeline.recurrence import Recurrence
from seqprof.analysis.timeline.summary import Account, DeviceSummary, TraceSummary

_NS = 1e-9


def rows(summary: TraceSummary) -> tuple[Row, ...]:
    """Return every number of the summary; of kernels those that it lists."""
    on = ((device, f"trace, device {device.device}") for device in summary.devices)
    told = [row for device, method in on for row in _device(device, method)]
    if summary.processor is not None:
        method = "trace, operators on the processor stand in for a device"
        told += _device(summary.processor, method)
    return tuple(told)


def _device(device: DeviceSummary, method: str) -> Iterator[Row]:
    where: dict[str, Any] = {"device": device.device, "method": method}
    yield _row("busy_time", device.busy_ns * _NS, "s", None, where)
    yield _row("idle_time", device.idle_ns * _NS, "s", None, where)
    yield _row(
        "idle_fraction",
        device.idle_fraction,
        "1",
        None,
        {**where, "reason": "the device ran nothing" if device.idle_fraction is None else None},
    )
    for cause, nanoseconds in device.idle_by_cause_ns.items():
        yield _row("idle_time_by_cause", nanoseconds * _NS, "s", None, {**where, "cause": cause})
    for account in device.phases:
        yield from _account(account, account.phase, where)
    for step in device.steps:
        yield from _account(step, "step", {**where, "step": step.step})
    for recurrence in device.recurrences:
        yield from _timesteps(recurrence, where)
    for kernel in device.kernels:
        named = {**where, "kernel": kernel.name}
        yield _row("kernel_time", kernel.total_ns * _NS, "s", None, named)
        yield _row("kernel_calls", kernel.count, "1", None, named)


def _account(account: Account, phase: str, where: dict[str, Any]) -> Iterator[Row]:
    yield _row("window", account.window_ns * _NS, "s", phase, where)
    yield _row("busy_time", account.busy_ns * _NS, "s", phase, where)
    yield _row("idle_time", account.idle_ns * _NS, "s", phase, where)
    yield _row("activities", account.activities, "1", phase, where)
    yield _row("launches", account.launches, "1", phase, where)
    for cause, nanoseconds in account.idle_by_cause_ns.items():
        yield _row("idle_time_by_cause", nanoseconds * _NS, "s", phase, {**where, "cause": cause})


def _timesteps(recurrence: Recurrence, where: dict[str, Any]) -> Iterator[Row]:
    """Yield the latency of each timestep and the gap in it, in the order in which they ran."""
    for metric, values in (
        ("timestep_latency", recurrence.latency_ns),
        ("timestep_gap", recurrence.gap_ns),
    ):
        for timestep, nanoseconds in enumerate(values):
            yield _row(
                metric, nanoseconds * _NS, "s", recurrence.phase, {**where, "timestep": timestep}
            )


def _row(
    metric: str, value: float | None, unit: str, phase: str | None, where: dict[str, Any]
) -> Row:
    place = {"timestep": None, **where}
    return Row(metric=metric, phase=phase, value=value, unit=unit, **place)
