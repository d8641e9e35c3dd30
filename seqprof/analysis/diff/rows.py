"""Differences as flat rows: of each metric the ratio with its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqprof.analysis.diff.differences import CaseChange
from seqprof.analysis.diff.metric_change import MetricChange
from seqprof.analysis.diff.outcome import DiffOutcome
from seqprof.analysis.rows import Row
from seqprof.analysis.statistics import Estimate


def rows(outcome: DiffOutcome) -> tuple[Row, ...]:
    """Return three rows for each metric: its value in base and new, and their ratio."""
    return tuple(row for case in outcome.differences.cases for row in _case(case, outcome))


def _case(case: CaseChange, outcome: DiffOutcome) -> Iterator[Row]:
    for metric in case.metrics:
        if outcome.keys is None or metric.key in outcome.keys:
            yield from _metric(case, metric)


def _metric(case: CaseChange, metric: MetricChange) -> Iterator[Row]:
    where: dict[str, Any] = {
        "candidate": case.label,
        "seq_len": case.timesteps,
        "batch_size": case.batch_size,
        "loop": metric.loop,
    }
    yield _row("base", metric, metric.base, where)
    yield _row("new", metric, metric.new, where)
    yield _row("ratio", metric, metric.ratio, {**where, "verdict": metric.verdict})


def _row(of: str, metric: MetricChange, estimate: Estimate, where: dict[str, Any]) -> Row:
    return Row(
        metric=f"{metric.metric}_{of}",
        phase=metric.phase,
        timestep=None,
        value=estimate.value,
        unit=estimate.unit,
        method=estimate.method,
        low=estimate.low,
        high=estimate.high,
        reason=estimate.reason,
        **where,
    )
