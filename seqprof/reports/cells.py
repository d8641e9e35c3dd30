"""Estimates as cells: shown as on the console, with the method or the reason."""

from __future__ import annotations

from collections.abc import Callable

from seqprof.analysis.statistics import Estimate
from seqprof.reports import quantities as q
from seqprof.reports.document import Cell


def number(estimate: Estimate, show: Callable[[Estimate], str], tone: str = "") -> Cell:
    """Return the cell of an estimate; a dash with the reason where it has no value."""
    if estimate.value is None:
        return Cell(text=q.NOTHING, reason=estimate.reason or "not measured")
    return Cell(text=show(estimate), method=estimate.method, tone=tone)


def time(estimate: Estimate, tone: str = "") -> Cell:
    """Return a time."""
    return number(estimate, q.time, tone)


def percent(estimate: Estimate) -> Cell:
    """Return a ratio in per cent."""
    return number(estimate, q.percent)


def size(estimate: Estimate) -> Cell:
    """Return a number of bytes."""
    return number(estimate, q.size)


def count(estimate: Estimate) -> Cell:
    """Return a whole number."""
    return number(estimate, q.count)


def seconds(value: float | None, method: str, reason: str, digits: int = 3) -> Cell:
    """Return a time that is no estimate."""
    if value is None:
        return Cell(text=q.NOTHING, reason=reason)
    return Cell(text=q.seconds(value, digits), method=method)


def interval(estimate: Estimate, show: Callable[[Estimate], str] = q.time_interval) -> Cell:
    """Return the 95 % interval of an estimate, or why there is none."""
    if estimate.value is None:
        return Cell(text=q.NOTHING, reason=estimate.reason or "not measured")
    if estimate.low is None or estimate.high is None:
        few = f"no interval is known (n = {estimate.n})" if estimate.n else "no interval is known"
        return Cell(text=q.NOTHING, reason=few)
    return Cell(text=show(estimate))


def idle(time_idle: Estimate, whole: Estimate) -> Cell:
    """Return an idle time; one that noise made negative, or next to nothing, as an upper bound."""
    if time_idle.value is None or whole.value is None:
        return time(time_idle)
    return Cell(text=q.part_of(time_idle, whole), method=time_idle.method)
