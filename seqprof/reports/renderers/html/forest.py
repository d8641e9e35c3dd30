"""Ratios with their intervals, at their places on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqprof.reports.document import Forest, Span

#: Ratios that may be ticks of the axis.
_TICKS = (
    *(0.8, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25, 1.5),
    *(digit * 10.0**power for power in range(-4, 4) for digit in (1.0, 2.0, 5.0)),
)
#: Nearer ticks than this, in per cent of the width, would run into each other on a phone, and
#: nearer than that on a wide screen.
_GAP, _FINE_GAP = 11.0, 6.0
#: Room at the ends of the axis, in parts of what it shows, and the least on each side of 1.
_MARGIN, _LEAST = 1.15, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSpan:
    """A ratio with its interval; places are per cent of the axis."""

    span: Span
    at: str
    start: str
    width: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number on the axis; a ``fine`` one only where there is room for it."""

    text: str
    at: str
    fine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A forest with the places of all it shows."""

    spans: Sequence[PlacedSpan]
    ticks: Sequence[Tick]
    one: str


def drawn(forest: Forest) -> Drawing:
    """Place the ratios of ``forest`` on one axis."""
    at = _axis(forest.spans)
    return Drawing(
        spans=[_span(span, at) for span in forest.spans],
        ticks=_ticks(at),
        one=_place(at(1.0)),
    )


def _axis(spans: Sequence[Span]) -> Callable[[float], float]:
    """Return the place of a ratio on a logarithmic axis that shows all and 1, in per cent."""
    ends = [v for s in spans for v in (s.value, s.low, s.high) if v is not None and v > 0.0]
    logs = [0.0, *map(math.log, ends)]
    reach = _MARGIN * max(map(abs, logs)) or _LEAST
    low = min(_MARGIN * min(logs), -_LEAST * reach)
    high = max(_MARGIN * max(logs), _LEAST * reach)
    return lambda ratio: 100.0 * (math.log(max(ratio, math.exp(low))) - low) / (high - low)


def _place(percent: float) -> str:
    return f"{percent:.3f}%"


def _span(span: Span, at: Callable[[float], float]) -> PlacedSpan:
    low = span.value if span.low is None else span.low
    high = span.value if span.high is None else span.high
    return PlacedSpan(
        span=span,
        at=_place(at(span.value)),
        start=_place(at(low)),
        width=_place(at(high) - at(low)),
    )


def _ticks(at: Callable[[float], float]) -> list[Tick]:
    """Choose ticks that lie apart; 1 comes first, then all that a phone has room for."""
    fine: dict[float, bool] = {}
    for gap in (_GAP, _FINE_GAP):
        for ratio in sorted(_TICKS, key=lambda ratio: abs(math.log(ratio))):
            is_apart = all(abs(at(ratio) - at(other)) > gap for other in fine)
            if 3.0 <= at(ratio) <= 97.0 and is_apart:
                fine[ratio] = gap == _FINE_GAP
    return [
        Tick(text=f"{ratio:g}", at=_place(at(ratio)), fine=is_fine)
        for ratio, is_fine in sorted(fine.items())
    ]
