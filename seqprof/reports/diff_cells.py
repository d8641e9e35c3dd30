"""The cells of a table of changes, the same on the console and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from seqprof.analysis.differences import CaseChange, Side
from seqprof.analysis.differences_told import interval_in_words, ratio_in_words, stretch_in_words
from seqprof.analysis.idle_changed import IdleChange
from seqprof.analysis.metric_change import MetricChange
from seqprof.analysis.settings_changed import SettingChange
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.timesteps_changed import LoopChange
from seqprof.reports import quantities as q
from seqprof.reports.escaping import one_line

METRIC_COLUMNS = ("metric", "base", "new", "new / base", "95% interval", "verdict")
BIN_COLUMNS = ("timesteps", "base p50", "new p50", "new / base", "95% interval", "")
IDLE_COLUMNS = ("idle", "cause", "base", "new", "change")
#: A change of idle that is shown, as a share of all idle of that phase or step.
_SHOWN_IDLE = 0.01
_COUNTS = frozenset({"operations", "depth_operations"})
#: Longest setting that is shown whole.
_LONGEST = 60


def value(metric: str, estimate: Estimate) -> str:
    """Write a value in the unit that suits it."""
    if metric in _COUNTS:
        return q.count(estimate)
    shown = {"s": q.time, "B": q.size, "1/s": q.rate, "W": q.watts, "J": q.joules}
    return shown.get(estimate.unit, q.percent)(estimate)


def metric_rows(case: CaseChange, keys: Sequence[str] | None) -> Iterator[tuple[str, ...]]:
    """Return the metrics: those named, or all that either run has and that say something."""
    for metric in case.metrics:
        if metric.key in keys if keys is not None else _worth_showing(metric):
            yield (
                one_line(metric.key),
                value(metric.metric, metric.base),
                value(metric.metric, metric.new),
                ratio_in_words(metric.ratio),
                interval_in_words(metric.ratio),
                metric.verdict or "no interval",
            )


def _worth_showing(metric: MetricChange) -> bool:
    if metric.base.value is None and metric.new.value is None:
        return False
    return not (metric.metric in _COUNTS and metric.verdict == "equivalent")


def absent_lines(case: CaseChange, keys: Sequence[str]) -> list[str]:
    """Return why metrics that were asked for have no ratio."""
    return q.reasons([(m.key, m.ratio) for m in case.metrics if m.key in keys])


def bin_rows(loop: LoopChange) -> Iterator[tuple[str, ...]]:
    """Return the bins along the sequence."""
    for part in loop.bins:
        yield (
            stretch_in_words(part),
            q.seconds(part.base_s),
            q.seconds(part.new_s),
            ratio_in_words(part.ratio),
            interval_in_words(part.ratio),
            "slower here" if part.stands_out else "",
        )


def idle_rows(idle: Sequence[IdleChange]) -> Iterator[tuple[str, ...]]:
    """Return idle by phase and cause, without what is next to nothing in both."""
    whole = max((max(part.base_s, part.new_s) for part in idle), default=0.0)
    for part in idle:
        if max(part.base_s, part.new_s) > _SHOWN_IDLE * whole:
            change = part.new_s - part.base_s
            yield (
                part.phase,
                part.cause,
                q.seconds(part.base_s),
                q.seconds(part.new_s),
                f"{'+' if change > 0 else '-'}{q.seconds(abs(change))}" if change else "0",
            )


def setting(change: SettingChange) -> tuple[str, str, str]:
    """Return key, old and new value, each on one line."""
    return one_line(change.key), _plain(change.base), _plain(change.new)


def _plain(found: Any) -> str:
    text = q.NOTHING if found is None else one_line(str(found))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def side(of: Side) -> str:
    """Return which recording it is."""
    commit = [f"commit {one_line(of.commit)[:16]}"] if of.commit else []
    runs = [f"{of.runs} runs"] if of.runs > 1 else []
    return " · ".join([one_line(of.name), one_line(of.created), *commit, *runs])
