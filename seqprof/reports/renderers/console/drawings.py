"""Plots, bars and intervals in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from seqprof.analysis.statistics import median
from seqprof.analysis.stretches import profile, stretches
from seqprof.reports import document as d
from seqprof.reports import quantities as q
from seqprof.reports.escaping import one_line
from seqprof.reports.plots import HeatMap, Lines, Plot
from seqprof.reports.renderers.console.layout import TONES, pairs, paragraph
from seqprof.reports.renderers.console.log_plot import plot as log_plot

#: How wide a drawing between other text is, at most.
_WIDTH = 48
#: Rows of a heat map.
_ROWS = 12
#: Filled with these in turn, that which the eye shall see first with the fullest.
_FILLS = "█▒░▓▞▚·"


def plot(shown: Plot, console: Console) -> None:
    """Draw a plot: each curve as a line of blocks, or all of them between logarithmic axes."""
    if isinstance(shown, HeatMap):
        _heat(shown, console)
    elif shown.log and shown.xlog:
        _logarithmic(shown, console)
    else:
        _sparklines(shown, console)


def value(number: float, unit: str) -> str:
    """Write a number of a plot in its unit."""
    if unit == "s":
        return q.seconds(number, 2)
    return q.share(number) if unit == "1" else f"{number:,.4g} {unit}"


def _sparklines(shown: Lines, console: Console) -> None:
    lines = []
    for curve in shown.curves:
        known = [y for y in curve.y if y is not None]
        if known:
            drawn = profile(curve.y)
            top = max(y for y in drawn if y is not None)
            lines.append((curve.name, f"{q.sparkline(drawn)}  0 to {value(top, shown.unit)}"))
    pairs(console, lines)


def _logarithmic(shown: Lines, console: Console) -> None:
    xs = list(shown.x)
    scale = 1e3 if shown.unit == "s" else 1.0
    curves = {
        one_line(curve.name): [
            (x, y * scale) for x, y in zip(xs, curve.y, strict=True) if y is not None and y > 0.0
        ]
        for curve in shown.curves
        if curve.points
    }
    if len({x for curve in curves.values() for x, _ in curve}) < 2:
        return
    unit = "ms" if shown.unit == "s" else shown.unit
    lines = log_plot(
        curves,
        x_name=f"{shown.xname} (log)",
        y_name=f"{unit} (log)",
        width=min(80, console.width),
        height=shown.rows,
    )
    for line in lines:
        console.print(Text(line, no_wrap=True, overflow="crop"))


def _heat(shown: HeatMap, console: Console) -> None:
    """Draw stretches of timesteps across and steps down, all on one scale from zero."""
    count = len(shown.starts)
    across = stretches(count, max(1, min(_WIDTH, console.width - 12)))
    down = stretches(len(shown.rows), _ROWS)
    cells = [
        [
            _median([shown.values[i * count + j] for i in rows for j in columns])
            for columns in across
        ]
        for rows in down
    ]
    top = max((v for row in cells for v in row if v is not None), default=0.0)
    lines = []
    for rows, row in zip(down, cells, strict=True):
        first, last = shown.rows[rows[0]], shown.rows[rows[-1]]
        name = f"{first}" if first == last else f"{first}–{last}"
        lines.append((name, q.sparkline(row, top=top)))
    pairs(console, lines)
    paragraph(
        console,
        f"timesteps 0 to {shown.end - 1:,} across, probed steps down; 0 to {q.seconds(top, 2)}",
        style="dim",
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def bars(block: d.Bars, console: Console) -> None:
    """Draw stacked bars, each piece filled with a character of its own."""
    fills = dict(zip(block.legend, _FILLS * 3, strict=False))
    names = max((cell_len(bar.name) for bar in block.bars), default=0)
    texts = max((cell_len(bar.text) for bar in block.bars), default=0)
    width = max(8, min(60, console.width - names - texts - 4))
    lines = [
        (bar.name, f"{_bar(bar, block.whole, width, fills)}  {bar.text}") for bar in block.bars
    ]
    pairs(console, lines)
    paragraph(console, "   ".join(f"{fill} {name}" for name, fill in fills.items()), style="dim")


def _bar(bar: d.Bar, whole: float, width: int, fills: dict[str, str]) -> str:
    """Return a bar; its pieces end where their sums end, so that all of it is as long as it is."""
    drawn, at = "", 0.0
    for part in bar.parts:
        at += part.value
        drawn += fills[part.name] * (round(width * at / whole) - len(drawn))
    return drawn.ljust(width)


def forest(block: d.Forest, console: Console) -> None:
    """Draw ratios with their intervals on a logarithmic axis, and each in words beside it."""
    names = max(cell_len(one_line(span.name)) for span in block.spans)
    texts = max(cell_len(span.text) for span in block.spans)
    width = min(_WIDTH, console.width - names - texts - 6)
    for span in block.spans:
        name = one_line(span.name)
        line = Text(f"{name}{' ' * (names - cell_len(name))}  ")
        if width >= 16:
            line.append(_interval(span, block.spans, width) + "  ")
        line.append(one_line(span.text), style=TONES.get(span.tone, ""))
        console.print(line)
    paragraph(console, block.caption, style="dim")


def _interval(span: d.Span, spans: Sequence[d.Span], width: int) -> str:
    """Draw `|` at 1, `-` along the interval and `o` at the ratio."""
    ends = [v for s in spans for v in (s.value, s.low, s.high) if v is not None and v > 0.0]
    low, high = math.log(min([0.9, *ends])), math.log(max([1.1, *ends]))

    def at(ratio: float) -> int:
        return round((math.log(ratio) - low) / (high - low) * (width - 1))

    cells = [" "] * width
    cells[at(1.0)] = "|"
    if span.low is not None and span.high is not None and span.low > 0.0:
        for index in range(at(span.low), at(span.high) + 1):
            cells[index] = "-"
    cells[at(span.value)] = "o"
    return "".join(cells)
