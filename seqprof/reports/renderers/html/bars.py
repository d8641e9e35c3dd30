"""Where the pieces of a bar lie."""

from __future__ import annotations

from dataclasses import dataclass

from seqprof.reports.document import Bars, Part

#: Narrower pieces, in per cent, bear no label; the legend and the table name them.
_LABELLED = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPart:
    """A piece at its place in the drawing, in per cent of the width."""

    part: Part
    left: str
    width: str
    label: str


def placed(bars: Bars, index: int) -> list[PlacedPart]:
    """Return where the pieces of one of the ``bars`` lie."""
    at, pieces = 0.0, []
    for part in bars.bars[index].parts:
        width = 100.0 * part.value / bars.whole
        pieces.append(
            PlacedPart(
                part=part,
                left=f"{at:.3f}%",
                width=f"{width:.3f}%",
                label=part.name if width >= _LABELLED else "",
            )
        )
        at += width
    return pieces
