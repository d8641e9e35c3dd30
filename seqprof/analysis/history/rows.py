"""A history as flat rows: one for each run and metric, with what changed there."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.history.trend import HistorySummary, RunSeries, Trend
from seqprof.analysis.rows import Row


def rows(summary: HistorySummary) -> tuple[Row, ...]:
    """Return the value of every metric in every run, in order of the runs."""
    return tuple(row for series in summary.series for row in _series(series))


def _series(series: RunSeries) -> Iterator[Row]:
    for trend in series.trends:
        yield from _trend(series, trend)


def _trend(series: RunSeries, trend: Trend) -> Iterator[Row]:
    metric, _, phase = trend.metric.partition(".")
    for point in trend.points:
        yield Row(
            metric=metric,
            phase=phase or None,
            timestep=None,
            value=point.value,
            unit=trend.unit,
            method=", ".join(trend.methods),
            low=point.low,
            high=point.high,
            reason=point.reason,
            candidate=series.label or series.model,
            seq_len=series.timesteps,
            batch_size=series.batch_size,
            step=point.created,
        )
