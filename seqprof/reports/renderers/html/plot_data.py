"""Plots as what the scripts in ``static/`` read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from seqprof.reports.plots import Curve, HeatMap, Lines, StepPhases
from seqprof.reports.renderers.html.packed import pack


@singledispatch
def data_of(plot: object) -> dict[str, Any]:
    """Return what the script reads; raises TypeError for what is no plot."""
    raise TypeError(type(plot))


@data_of.register
def _(plot: Lines) -> dict[str, Any]:
    return {
        "kind": "lines",
        "x": _axis(plot.x),
        "xname": plot.xname,
        "yname": plot.yname,
        "unit": plot.unit,
        "log": plot.log,
        "xlog": plot.xlog,
        "xticks": list(plot.xticks) or None,
        "whole": plot.whole,
        "curves": [_curve(curve) for curve in plot.curves],
        "spans": [
            {
                "from": span.start,
                "to": span.end,
                "name": span.name,
                "colour": span.colour,
                "label": span.label,
            }
            for span in plot.backdrops
        ],
        "steps": plot.steps and _steps(plot.steps),
        "marks": [
            {"name": mark.name, "at": mark.at, "low": mark.low, "high": mark.high}
            for mark in plot.marks
        ],
    }


@data_of.register
def _(plot: HeatMap) -> dict[str, Any]:
    return {
        "kind": "map",
        "unit": "s",
        "starts": list(plot.starts),
        "end": plot.end,
        "rows": list(plot.rows),
        "values": pack(plot.values, digits=3),
    }


def _axis(x: range | Sequence[float]) -> dict[str, Any]:
    if isinstance(x, range):
        return {"from": x.start, "step": x.step, "count": len(x)}
    return pack(x, digits=6)


def _curve(curve: Curve) -> dict[str, Any]:
    arrays = {"y": curve.y, "low": curve.low, "high": curve.high}
    looks = ("points", "dash", "stepped", "smooth")
    return {
        "name": curve.name,
        "colour": curve.colour,
        **{name: pack(values) for name, values in arrays.items() if values is not None},
        **{look: True for look in looks if getattr(curve, look)},
    }


def _steps(steps: StepPhases) -> dict[str, Any]:
    """Return where single steps begin, and what each phase of them takes, in seconds."""
    return {
        "at": pack(steps.starts, digits=7),
        "phases": {name: pack(times) for name, times in steps.phases.items()},
    }
