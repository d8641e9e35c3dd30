"""Ratios of candidates to the baseline with their intervals, one below the other."""

from __future__ import annotations

import math
from collections.abc import Callable

from seqprof.analysis.compared import LengthSummary
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import digits_of, rounded
from seqprof.reports import quantities as q
from seqprof.reports.html.blocks import Forest, Span, Tick

TONES = {"faster": "good", "slower": "bad"}
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


def forest(length: LengthSummary, baseline: str) -> Forest | None:
    """Draw the ratios to the baseline; None where there is none."""
    found = [
        (c.label, c.against_baseline)
        for c in length.candidates
        if c.against_baseline is not None and c.against_baseline.ratio.value is not None
    ]
    if not found:
        return None
    at = _axis([comparison.ratio for _, comparison in found])
    spans = [_span(label, c.ratio, c.verdict, at) for label, c in found]
    told = ", ".join(f"{span.name} {span.text}" for span in spans)
    return Forest(
        caption=f"Step time against {baseline}: ratio of medians with its 95 % interval "
        "(logarithmic axis; left of 1 is faster).",
        label=f"Step time against {baseline}: {told}",
        spans=spans,
        ticks=_ticks(at),
        one=_place(at(1.0)),
    )


def _axis(ratios: list[Estimate]) -> Callable[[float], float]:
    """Return the place of a ratio on a logarithmic axis that shows all and 1, in per cent."""
    ends = [v for r in ratios for v in (r.value, r.low, r.high) if v is not None]
    logs = [0.0, *map(math.log, ends)]
    reach = _MARGIN * max(map(abs, logs)) or _LEAST
    low = min(_MARGIN * min(logs), -_LEAST * reach)
    high = max(_MARGIN * max(logs), _LEAST * reach)
    return lambda ratio: 100.0 * (math.log(ratio) - low) / (high - low)


def _place(percent: float) -> str:
    return f"{percent:.3f}%"


def _span(label: str, ratio: Estimate, verdict: str, at: Callable[[float], float]) -> Span:
    value = ratio.value or 1.0
    low, high = ratio.low or value, ratio.high or value
    return Span(
        name=label,
        text=f"{plain_ratio(ratio)}{_within(ratio)} {verdict}",
        at=_place(at(value)),
        start=_place(at(low)),
        width=_place(at(high) - at(low)),
        tone=TONES.get(verdict, ""),
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


def plain_ratio(ratio: Estimate) -> str:
    """Write a ratio with the digits that its interval supports."""
    return q.NOTHING if ratio.value is None else rounded(ratio.value, digits_of(ratio))


def _within(ratio: Estimate) -> str:
    return "" if ratio.low is None or ratio.high is None else f" ({q.ratio_interval(ratio)})"
