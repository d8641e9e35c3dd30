"""What a plot shows, as plain data; the scripts in ``static/`` draw it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from seqprof.analysis.statistics import median
from seqprof.reports.html.packed import pack

#: Colours of candidates and models, by order; of more they repeat, and the legend tells.
COLOURS = ("one", "two", "three", "four", "five", "six")

Values: TypeAlias = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One name of the legend. Where ``y`` is None nothing was measured, and the line is broken.

    Attributes:
        colour: one of the style sheet, as in ``forward``.
        low: with ``high`` a band around the line, or of points the interval of each.
        stepped: a value holds for the time before it, as a sampler's window does.
        smooth: derived, and drawn across gaps in ``y``.
    """

    name: str
    colour: str
    y: Values
    low: Values | None = None
    high: Values | None = None
    points: bool = False
    dash: bool = False
    stepped: bool = False
    smooth: bool = False

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        arrays = {"y": self.y, "low": self.low, "high": self.high}
        looks = ("points", "dash", "stepped", "smooth")
        return {
            "name": self.name,
            "colour": self.colour,
            **{name: pack(values) for name, values in arrays.items() if values is not None},
            **{look: True for look in looks if getattr(self, look)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """A span of the x axis that is tinted; ``label`` stands above it where there is room."""

    start: float
    end: float
    name: str
    colour: str
    label: str

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        return {
            "from": self.start,
            "to": self.end,
            "name": self.name,
            "colour": self.colour,
            "label": self.label,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPhases:
    """Where single steps begin, and what each phase of them takes, in seconds."""

    starts: Sequence[float]
    phases: Mapping[str, Sequence[float]]

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        return {
            "at": pack(self.starts, digits=7),
            "phases": {name: pack(times) for name, times in self.phases.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place on the x axis with its interval, and its name beside it."""

    name: str
    at: float
    low: float | None
    high: float | None

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        return {"name": self.name, "at": self.at, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Curves over one axis.

    Attributes:
        unit: of the values: ``s``, ``B``, ``Hz``, ``1`` (shown in per cent) or any other text.
        log: whether the y axis begins as logarithmic; the reader can change it.
        xlog: whether the x axis is logarithmic.
        xticks: where its ticks shall be, as far as there is room.
        whole: whether x counts something, so that its ticks are whole numbers.
    """

    x: range | Sequence[float]
    xname: str
    yname: str
    unit: str
    curves: Sequence[Curve]
    log: bool = False
    xlog: bool = False
    xticks: Sequence[float] = ()
    whole: bool = False
    backdrops: Sequence[Backdrop] = ()
    steps: StepPhases | None = None
    marks: Sequence[Mark] = ()

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        return {
            "kind": "lines",
            "x": _axis(self.x),
            "xname": self.xname,
            "yname": self.yname,
            "unit": self.unit,
            "log": self.log,
            "xlog": self.xlog,
            "xticks": list(self.xticks) or None,
            "whole": self.whole,
            "curves": [curve.data() for curve in self.curves],
            "spans": [span.data() for span in self.backdrops],
            "steps": self.steps and self.steps.data(),
            "marks": [mark.data() for mark in self.marks],
        }


def _axis(x: range | Sequence[float]) -> dict[str, Any]:
    if isinstance(x, range):
        return {"from": x.start, "step": x.step, "count": len(x)}
    return pack(x, digits=6)


#: A value beyond so many times the median would press all others to the floor of a linear scale.
_WIDE = 40.0


def is_wide(values: Iterable[float | None]) -> bool:
    """Whether the values of one plot ask for a logarithmic scale."""
    known = [value for value in values if value]
    return bool(known) and max(known) > _WIDE * median(known)


def over_timesteps(
    timesteps: int, span: int, curves: Sequence[Curve], *, yname: str, log: bool = False
) -> Lines:
    """Return times along the sequence, where ``span`` neighbouring timesteps share a point."""
    return Lines(
        x=range(0, timesteps, span),
        xname="timestep" if span == 1 else f"timestep (first of {span})",
        yname=yname,
        unit="s",
        curves=curves,
        log=log,
        whole=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Times of stretches of timesteps (across) in single steps (down); None: not measured.

    Attributes:
        starts: first timestep of each column.
        end: one more than the last timestep.
        rows: number of each step.
        values: row by row.
    """

    starts: Sequence[int]
    end: int
    rows: Sequence[int]
    values: Values

    def data(self) -> dict[str, Any]:
        """Return what the script reads."""
        return {
            "kind": "map",
            "unit": "s",
            "starts": list(self.starts),
            "end": self.end,
            "rows": list(self.rows),
            "values": pack(self.values, digits=3),
        }


Plot: TypeAlias = Lines | HeatMap
