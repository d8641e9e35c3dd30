"""Values, settings and recordings of a comparison in words."""

from __future__ import annotations

from typing import Any

from seqprof.analysis.diff.differences import Side
from seqprof.analysis.diff.settings_changed import SettingChange
from seqprof.analysis.run.quantities.run import QUANTITIES
from seqprof.analysis.statistics import Estimate
from seqprof.reports import quantities as q
from seqprof.reports.escaping import one_line

#: Longest setting that is shown whole.
_LONGEST = 60


def value(metric: str, estimate: Estimate) -> str:
    """Write a value in the unit that suits it."""
    quantity = QUANTITIES.get(metric)
    if quantity is not None:
        return q.text(quantity.dimension, estimate)
    by_unit = {"s": q.time, "B": q.size, "1/s": q.rate, "W": q.watts, "J": q.joules}
    return by_unit.get(estimate.unit, q.percent)(estimate)


def setting(change: SettingChange) -> tuple[str, str, str]:
    """Return key, old and new value, each on one line."""
    return one_line(change.key), _plain(change.base), _plain(change.new)


def _plain(value: Any) -> str:
    text = q.NOTHING if value is None else one_line(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def side(of: Side) -> str:
    """Return which recording it is."""
    commit = [f"commit {one_line(of.commit)[:16]}"] if of.commit else []
    runs = [f"{of.runs} runs"] if of.runs > 1 else []
    return " · ".join([one_line(of.name), one_line(of.created), *commit, *runs])
