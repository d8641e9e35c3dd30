"""A history → the trend of each metric, for each workload and machine by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.history.change_points import ChangePoint, find_change_points
from seqprof.analysis.statistics import median
from seqprof.errors import SeqprofError
from seqprof.history import Damaged, HistoryLine, HistoryMetric
from seqprof.suggest import did_you_mean

#: What is shown where `--metric` names nothing.
DEFAULT_METRICS = ("step_time", "phase_time", "peak_memory.backward")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One run in a trend."""

    created: str
    commit: str | None
    value: Annotated[float | None, Meta(description="null where it could not be measured")]
    low: float | None
    high: float | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One metric over the runs."""

    metric: str
    unit: str
    methods: Annotated[tuple[str, ...], Meta(description="each that gave a value; one, usually")]
    points: tuple[TrendPoint, ...]
    typical: Annotated[float | None, Meta(description="median")]
    changes: Annotated[
        tuple[ChangePoint, ...], Meta(description="index counts the points that have a value")
    ]

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if not self.points:
            raise ValueError("A trend without a point")

    @property
    def values(self) -> list[float]:
        """The values that were measured, in order of time."""
        return [point.value for point in self.points if point.value is not None]

    def at(self, change: ChangePoint) -> TrendPoint:
        """Return the run with which a level begins."""
        return [point for point in self.points if point.value is not None][change.index]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeries:
    """Runs of one spec on one machine: only these can be put on one line."""

    model: str
    label: str | None
    kind: str
    timesteps: int | None
    batch_size: int | None
    spec: str
    device: str
    cpu: str
    threads: int
    runs: int
    trends: tuple[Trend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySummary:
    """A whole history."""

    name: str
    series: tuple[RunSeries, ...]
    damaged: tuple[Damaged, ...]


def summarise_history(
    name: str,
    lines: Sequence[HistoryLine],
    damaged: Sequence[Damaged],
    wanted: Sequence[str] = (),
) -> HistorySummary:
    """Derive the trends of the metrics ``wanted``, as step_time or phase_time.forward.

    Raises:
        SeqprofError: no line has such a metric.
    """
    _check(lines, wanted)
    groups: dict[tuple[object, ...], list[HistoryLine]] = {}
    for line in sorted(lines, key=lambda line: line.created):
        groups.setdefault(_identity(line), []).append(line)
    return HistorySummary(
        name=name,
        series=tuple(_series(group, wanted or DEFAULT_METRICS) for group in groups.values()),
        damaged=tuple(damaged),
    )


def _identity(line: HistoryLine) -> tuple[object, ...]:
    return (
        line.kind, line.label, line.model, line.timesteps, line.batch_size, line.spec,
        line.device, line.cpu, line.threads,
    )  # fmt: skip


def _check(lines: Sequence[HistoryLine], wanted: Sequence[str]) -> None:
    known = dict.fromkeys(metric.key for line in lines for metric in line.metrics)
    heads = dict.fromkeys(key.partition(".")[0] for key in known)
    for name in wanted:
        if known and not any(_named(key, (name,)) for key in known):
            raise SeqprofError(
                f"--metric {name}: the history has no such metric"
                f"{did_you_mean(name, [*heads, *known], listed=heads)}"
            )


def _named(key: str, wanted: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in wanted)


def _series(lines: Sequence[HistoryLine], wanted: Sequence[str]) -> RunSeries:
    last = lines[-1]
    return RunSeries(
        model=last.model,
        label=last.label,
        kind=last.kind,
        timesteps=last.timesteps,
        batch_size=last.batch_size,
        spec=last.spec,
        device=last.device,
        cpu=last.cpu,
        threads=last.threads,
        runs=len(lines),
        trends=tuple(_trends(lines, wanted)),
    )


def _trends(lines: Sequence[HistoryLine], wanted: Sequence[str]) -> Iterator[Trend]:
    columns: dict[str, list[tuple[HistoryLine, HistoryMetric]]] = {}
    for line in lines:
        for metric in line.metrics:
            if _named(metric.key, wanted):
                columns.setdefault(metric.key, []).append((line, metric))
    for key in sorted(columns, key=lambda key: _place(key, wanted)):
        column = columns[key]
        known = [metric.value for _, metric in column if metric.value is not None]
        positive = bool(known) and min(known) > 0.0
        yield Trend(
            metric=key,
            unit=column[0][1].unit,
            methods=tuple(dict.fromkeys(m.method for _, m in column if m.value is not None)),
            points=tuple(_point(line, metric) for line, metric in column),
            typical=median(known) if known else None,
            changes=find_change_points(known) if positive else (),
        )


def _place(key: str, wanted: Sequence[str]) -> int:
    """Return which of the ``wanted`` names the metric."""
    return next(index for index, name in enumerate(wanted) if _named(key, (name,)))


def _point(line: HistoryLine, metric: HistoryMetric) -> TrendPoint:
    return TrendPoint(
        created=line.created,
        commit=line.commit,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        reason=metric.reason,
    )
