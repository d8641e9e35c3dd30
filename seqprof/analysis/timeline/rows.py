"""A trace as flat rows: busy and idle by phase, step and cause, timesteps, kernels."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.quantities import Place
from seqprof.analysis.rows import Row, rows_of
from seqprof.analysis.timeline.accounts import Account
from seqprof.analysis.timeline.quantities import ACCOUNT, DEVICE, RANK, RECURRENCE, Traced
from seqprof.analysis.timeline.ranks import RanksSummary
from seqprof.analysis.timeline.summary import DeviceSummary, TraceSummary

_NS = 1e-9


def rows(summary: TraceSummary) -> tuple[Row, ...]:
    """Return every number of the summary; of kernels those that it lists."""
    return tuple(_rows(summary))


def _rows(summary: TraceSummary) -> Iterator[Row]:
    for device in summary.devices:
        yield from _device(device, f"trace, {device.title.lower()}")
    for processor in () if summary.devices else summary.accounts:
        yield from _device(processor, "trace, operators on the processor stand in for a device")


def _device(device: DeviceSummary, method: str) -> Iterator[Row]:
    on: Place = {"device": device.device}
    yield from rows_of(DEVICE, Traced(device, method), on)
    for account in device.phases:
        yield from rows_of(
            ACCOUNT, Traced[Account](account, method), {**on, "phase": account.phase}
        )
    for step in device.steps:
        in_step: Place = {**on, "phase": "step", "step": step.step}
        yield from rows_of(ACCOUNT, Traced[Account](step, method), in_step)
    for recurrence in device.recurrences:
        yield from rows_of(RECURRENCE, Traced(recurrence, method), on)


def rank_rows(summary: RanksSummary) -> tuple[Row, ...]:
    """Return every time of every rank."""
    return tuple(
        Row(
            metric=quantity.key,
            phase=None,
            timestep=None,
            value=None if (value := read(line)) is None else value * _NS,
            unit=quantity.dimension.unit,
            method="trace, ranks side by side",
            reason="no collective is shared" if value is None else None,
            candidate=line.source if line.process is None else f"{line.source} {line.process}",
            device=line.device,
        )
        for line in summary.ranks
        for quantity, read in RANK
    )
