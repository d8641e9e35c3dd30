"""The document of `seqprof history`."""

from __future__ import annotations

from seqprof.analysis.history.change_points import METHOD, ChangePoint
from seqprof.analysis.history.level_shift import FEWEST
from seqprof.analysis.history.trend import HistorySummary, RunSeries, Trend
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import sizes_in_words
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    ESSENTIAL,
    Block,
    Cell,
    Chart,
    Document,
    Facts,
    Only,
    Prose,
    Section,
    Table,
    View,
    heads,
    none,
    word,
)
from seqprof.reports.documents.diff_words import value
from seqprof.reports.escaping import one_line
from seqprof.reports.formats import Result
from seqprof.reports.plots import Curve, Lines

#: Metrics on the first screen; all others on demand.
FIRST = ("step_time", "phase_time.forward", "phase_time.backward", "peak_memory", "throughput")
#: Runs that the sparkline in a row shows; the last ones.
_SHOWN = 24


def document(result: Result, view: View) -> Document:
    """Return the document of a history."""
    summary: HistorySummary = result.summary
    changed = [line for series in summary.series for line in _changed(series)]
    said = changed or [_steady(summary)]
    return Document(
        title=f"History {one_line(summary.name)}",
        subtitle=f"changes: {METHOD}; {FEWEST} runs on each side at least",
        line=" ".join(said),
        sections=[
            Section(title="", name="The answer", blocks=[Prose(lines=said, tone="answer")]),
            *(_series(series) for series in summary.series),
            *_damaged(summary),
        ],
    )


def _steady(summary: HistorySummary) -> str:
    runs = sum(series.runs for series in summary.series)
    if not runs:
        return "No run could be read."
    return f"No level changed in {runs} runs."


def _name(series: RunSeries) -> str:
    label = series.label or series.model
    return f"{one_line(label)}, {sizes_in_words(series.timesteps, series.batch_size)}"


def _series(series: RunSeries) -> Section:
    facts = [
        ("device", one_line(series.device)),
        ("threads", f"{series.threads}"),
        ("spec", series.spec),
    ]
    blocks: list[Block] = [
        _table(series),
        Only(where="page", blocks=[_chart(trend) for trend in series.trends if _drawn(trend)]),
        Only(where="detail", blocks=[Facts(pairs=facts)]),
    ]
    return Section(title=f"{_name(series)} · {series.runs} runs", blocks=blocks)


def _table(series: RunSeries) -> Table:
    known = {trend.metric for trend in series.trends}
    first = known & set(FIRST) or known
    return Table(
        caption="Metrics from run to run",
        columns=heads("metric", "runs", "first", "median", "last", "changes", "trend (from 0)"),
        rows=[_row(trend) for trend in series.trends],
        ranks=[
            ESSENTIAL if trend.metric in first or trend.changes else DETAIL
            for trend in series.trends
        ],
    )


def _row(trend: Trend) -> list[Cell]:
    points = trend.points
    method = ", ".join(trend.methods)
    last = points[-1]
    return [
        word(one_line(trend.metric)),
        word(f"{len(trend.values)}"),
        *(
            none(reason or "not measured in this run")
            if number is None
            else Cell(text=_shown(number, trend), method=method)
            for number, reason in (
                (points[0].value, points[0].reason),
                (trend.typical, "not measured in any run"),
                (last.value, last.reason),
            )
        ),
        word(f"{len(trend.changes)}" if trend.changes else ""),
        word(q.sparkline([point.value for point in points[-_SHOWN:]])),
    ]


def _shown(number: float | None, trend: Trend) -> str:
    if trend.unit == "s":
        return q.seconds(number)
    estimate = Estimate(value=number, unit=trend.unit, method="")
    return value(trend.metric.partition(".")[0], estimate)


def _drawn(trend: Trend) -> bool:
    return len(trend.values) > 1 and trend.metric in FIRST


def _chart(trend: Trend) -> Chart:
    points = trend.points
    name = one_line(trend.metric)
    rows = [
        [
            word(f"{index + 1}"),
            word(one_line(point.created)),
            word(one_line(point.commit or "")[:16]),
            none(point.reason or "not measured")
            if point.value is None
            else word(_shown(point.value, trend)),
        ]
        for index, point in enumerate(points)
    ]
    return Chart(
        title=name,
        label=f"{name} over {len(points)} runs",
        plot=Lines(
            x=range(1, len(points) + 1),
            xname="run",
            yname=name,
            unit=trend.unit,
            whole=True,
            curves=[
                Curve(
                    name=name,
                    colour="one",
                    points=True,
                    y=[point.value for point in points],
                    low=[point.low for point in points],
                    high=[point.high for point in points],
                )
            ],
        ),
        table=Table(caption=name, columns=heads("run", "measured at", "commit", name), rows=rows),
    )


def _changed(series: RunSeries) -> list[str]:
    return [
        f"{_name(series)}: {one_line(trend.metric)}: {_sentence(trend, change)}"
        for trend in series.trends
        for change in trend.changes
    ]


def _doubt(change: ChangePoint) -> str:
    """Return what is said of a change after its p-value."""
    if change.verdict == "perhaps a drift":
        return "; a gradual drift fits about as well"
    if change.verdict != "perhaps passing":
        return ""
    if change.more_runs is None:
        return "; too few runs on one side of it to tell whether it lasts"
    runs = "run" if change.more_runs == 1 else "runs"
    return f"; {change.more_runs} more {runs} at least are needed to tell whether it lasts"


def _sentence(trend: Trend, change: ChangePoint) -> str:
    point = trend.at(change)
    commit = f", commit {one_line(point.commit)[:16]}" if point.commit else ""
    on, then = "on ", ""
    if change.until is not None:
        on, then = f"to run {change.until} ", ", then back"
    return (
        f"{change.ratio:.2f} times as much from run {change.index + 1} {on}"
        f"({one_line(point.created)}{commit}){then}: "
        f"{_shown(change.before, trend)} → {_shown(change.after, trend)}, "
        f"p = {change.p:.2g}{_doubt(change)}."
    )


def _damaged(summary: HistorySummary) -> list[Section]:
    if not summary.damaged:
        return []
    lines = [
        f"line {line.number} is damaged and was skipped: {one_line(line.reason)}"
        for line in summary.damaged
    ]
    return [Section(title="Damaged lines", blocks=[Prose(lines=lines, tone="warning")])]
