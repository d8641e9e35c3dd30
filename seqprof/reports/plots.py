"""What a plot shows, as plain data: scripts draw it on a page, characters in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, overload

from msgspec import Struct

from seqprof.analysis.statistics import median

#: Colours of candidates and models, by order; of more they repeat, and the legend tells.
COLOURS = ("one", "two", "three", "four", "five", "six")

Values: TypeAlias = Sequence[float | None]


class Curve(Struct, frozen=True, kw_only=True):
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


class Backdrop(Struct, frozen=True, kw_only=True):
    """A span of the x axis that is tinted; ``label`` stands above it where there is room."""

    start: float
    end: float
    name: str
    colour: str
    label: str


class StepPhases(Struct, frozen=True, kw_only=True):
    """Where single steps begin, and what each phase of them takes, in seconds."""

    starts: Sequence[float]
    phases: Mapping[str, Sequence[float]]


class Mark(Struct, frozen=True, kw_only=True):
    """A place on the x axis with its interval, and its name beside it."""

    name: str
    at: float
    low: float | None
    high: float | None


class Lines(Struct, frozen=True, kw_only=True):
    """Curves over one axis.

    Attributes:
        unit: of the values: ``s``, ``B``, ``Hz``, ``1`` (shown in per cent) or any other text.
        log: whether the y axis begins as logarithmic; the reader can change it.
        xlog: whether the x axis is logarithmic.
        xticks: where its ticks shall be, as far as there is room.
        whole: whether x counts something, so that its ticks are whole numbers.
        rows: lines of text that a terminal draws it in.
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
    rows: int = 15


def thinned(length: int, most: int) -> int:
    """Return every how many-th of ``length`` values must be kept for at most ``most``."""
    return max(1, -(-length // max(most, 1)))


def stretched(values: Sequence[float | None], span: int, pick: Any) -> list[float | None]:
    """Return ``pick`` of each ``span`` neighbours; None where none of them is known."""
    if span == 1:
        return list(values)
    result: list[float | None] = []
    for first in range(0, len(values), span):
        known = [value for value in values[first : first + span] if value is not None]
        result.append(pick(known) if known else None)
    return result


#: Curves nearer to each other than this share of their value lie on one another.
_TOGETHER = 0.03


def overlapping(curves: Sequence[Curve]) -> list[str]:
    """Say which curves lie under others, so that no reader misses one."""
    hidden: dict[str, list[str]] = {}
    for index, curve in enumerate(curves):
        above = next((top for top in curves[index + 1 :] if _on_one_another(curve.y, top.y)), None)
        if above is not None:
            hidden.setdefault(above.name, []).append(curve.name)
    return [
        f"{', '.join(names)}: under {above}, hardly to be seen." for above, names in hidden.items()
    ]


def _on_one_another(one: Values, other: Values) -> bool:
    both = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b is not None]
    return len(both) > 1 and all(abs(a - b) <= _TOGETHER * max(abs(a), abs(b)) for a, b in both)


#: A value beyond so many times the median would press all others to the floor of a linear scale.
_WIDE = 40.0


def is_wide(values: Iterable[float | None]) -> bool:
    """Whether the values of one plot ask for a logarithmic scale."""
    known = [value for value in values if value]
    return bool(known) and max(known) > _WIDE * median(known)


def over_timesteps(
    timesteps: int,
    span: int,
    curves: Sequence[Curve],
    *,
    yname: str,
    log: bool = False,
    xname: str = "timestep",
) -> Lines:
    """Return times along the sequence, where ``span`` neighbouring timesteps share a point."""
    return Lines(
        x=range(0, timesteps, span),
        xname=xname if span == 1 else f"{xname} (first of {span})",
        yname=yname,
        unit="s",
        curves=curves,
        log=log,
        whole=True,
    )


class HeatMap(Struct, frozen=True, kw_only=True):
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


Plot: TypeAlias = Lines | HeatMap


class Box(Struct, frozen=True, kw_only=True):
    """A rectangle of a picture; ``name`` is told where the pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    name: str = ""


class LazyBoxes(Sequence[Box]):
    """Boxes that are made when they are looked at: a terminal shows none of them."""

    def __init__(self, make: Callable[[], Iterable[Box]]) -> None:
        self._make = make
        self._made: tuple[Box, ...] | None = None

    def _boxes(self) -> tuple[Box, ...]:
        if self._made is None:
            self._made = tuple(self._make())
        return self._made

    def __len__(self) -> int:
        return len(self._boxes())

    @overload
    def __getitem__(self, at: int) -> Box: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Box]: ...

    def __getitem__(self, at: int | slice) -> Box | Sequence[Box]:
        return self._boxes()[at]
