"""The console report of `seqprof history`."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.change_points import FEWEST, METHOD
from seqprof.analysis.history_trend import HistorySummary, Series, Trend
from seqprof.analysis.statistics import Estimate
from seqprof.reports import quantities as q
from seqprof.reports.diff_cells import value
from seqprof.reports.escaping import one_line
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table

_COLUMNS = ("metric", "runs", "first", "median", "last", "changes", "trend (from 0)")
#: Runs that the sparkline shows; the last ones.
_SHOWN = 24


def print_history(
    summary: HistorySummary, file: TextIO | None = None, *, quiet: bool = False
) -> None:
    """Print the report to ``file`` (default: stdout); with ``quiet`` only the changes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: HistorySummary, console: Console, *, quiet: bool = False) -> None:
    """Print the report."""
    if not quiet:
        console.print(Text(f"seqprof history: {one_line(summary.name)}", style="bold"))
    for series in summary.series:
        _series(series, console, quiet=quiet)
    if not quiet and summary.series:
        paragraph(console, f"changes: {METHOD}; {FEWEST} runs on each side at least", style="dim")
    for line in summary.damaged:
        paragraph(
            console, f"line {line.number} is damaged and was skipped: {line.reason}", style="yellow"
        )


def _series(series: Series, console: Console, *, quiet: bool) -> None:
    if not quiet:
        heading(console, f"{_name(series)} · {series.runs} runs")
        pairs(
            console,
            [
                ("device", one_line(series.device)),
                ("threads", f"{series.threads}"),
                ("spec", series.spec),
            ],
        )
        table(console, _COLUMNS, [_row(trend) for trend in series.trends])
        absent = [
            (trend.metric, _estimate(trend.points[-1].value, trend, trend.points[-1].reason))
            for trend in series.trends
        ]
        for reason in q.reasons(absent):
            paragraph(console, f"{q.NOTHING} last run: {reason}", style="dim")
    for trend in series.trends:
        for line in _changes(trend):
            paragraph(console, f"{_name(series)}: {line}" if quiet else line, style="yellow")


def _name(series: Series) -> str:
    label = series.label or series.model
    return f"{one_line(label)}, T = {series.timesteps}, batch {series.batch_size}"


def _estimate(found: float | None, trend: Trend, reason: str | None = None) -> Estimate:
    return Estimate(value=found, unit=trend.unit, method="", reason=reason)


def _shown(found: float | None, trend: Trend) -> str:
    head = trend.metric.partition(".")[0]
    if trend.unit == "s":
        return q.seconds(found)
    return value(head, _estimate(found, trend))


def _row(trend: Trend) -> list[str]:
    points = trend.points
    return [
        one_line(trend.metric),
        f"{len(trend.values)}",
        _shown(points[0].value, trend),
        _shown(trend.typical, trend),
        _shown(points[-1].value, trend),
        f"{len(trend.changes)}" if trend.changes else "",
        q.sparkline([point.value for point in points[-_SHOWN:]]),
    ]


def _changes(trend: Trend) -> list[str]:
    told = []
    for change in trend.changes:
        point = trend.at(change)
        commit = f", commit {one_line(point.commit)[:16]}" if point.commit else ""
        told.append(
            f"{one_line(trend.metric)}: {change.ratio:.2f} times as much from run "
            f"{change.index + 1} on ({one_line(point.created)}{commit}): "
            f"{_shown(change.before, trend)} → {_shown(change.after, trend)}, p = {change.p:.2g}"
        )
    return told
