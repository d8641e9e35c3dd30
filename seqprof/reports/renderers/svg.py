"""The plots and pictures of a document as SVG: drawn alike everywhere, without a script."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from seqprof.reports import quantities as q
from seqprof.reports.document import Block, Chart, Document, Folded, Picture, blocks_for
from seqprof.reports.escaping import one_line
from seqprof.reports.plots import Curve, HeatMap, Lines

WIDTH, HEIGHT = 760, 420
#: Room for the axes and the title: left, right, top, bottom.
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 18, 44, 52
_LEGEND_LINE = 18
#: Colours of the page's light theme, by name.
_COLOURS = {
    "one": "#1746b4", "two": "#cf5208", "three": "#2ca57c", "four": "#c96fc2", "five": "#443600",
    "six": "#656d79", "forward": "#1746b4", "backward": "#cf5208", "data": "#2ca57c",
    "loss": "#c96fc2", "optimizer": "#443600", "text": "#1b1f24", "link": "#0b57a4",
    "busy": "#656d79", "step": "#656d79", "depth": "#656d79", "all": "none",
    "cause-launch": "#cf5208", "cause-sync": "#c96fc2", "cause-data": "#2ca57c",
    "cause-communication": "#1746b4", "cause-dependency": "#443600", "cause-unknown": "#1c222c",
}  # fmt: skip
_TICKS = 5


def plots_of(document: Document) -> Iterator[tuple[str, str]]:
    """Yield a file's name, without its ending, and the SVG of each drawing, in their order."""
    for number, drawing in enumerate(_drawings(document), 1):
        slug = re.sub(r"[^a-z0-9]+", "-", drawing.title.lower()).strip("-")[:60] or "plot"
        yield f"{number:02d}-{slug}", svg(drawing)


def _drawings(document: Document) -> Iterator[Chart | Picture]:
    for section in document.sections:
        yield from _within(section.blocks)


def _within(blocks: Sequence[Block]) -> Iterator[Chart | Picture]:
    for block in blocks_for(blocks, "page", "detail", "written"):
        if isinstance(block, (Chart, Picture)):
            yield block
        elif isinstance(block, Folded):
            yield from _within(block.blocks)


def svg(drawing: Chart | Picture) -> str:
    """Return one plot or picture as an SVG document."""
    return _picture(drawing) if isinstance(drawing, Picture) else _chart(drawing)


def _document(title: str, label: str, width: float, height: float, inside: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="12">',
            f"<title>{_text(label)}</title>",
            f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
            f'<text x="12" y="22" font-size="15">{_text(title)}</text>',
            *inside,
            "</svg>\n",
        ]
    )


def _chart(chart: Chart) -> str:
    plot = chart.plot
    inside = _heat(plot) if isinstance(plot, HeatMap) else _lines(plot)
    names = [] if isinstance(plot, HeatMap) else [curve.name for curve in plot.curves]
    height = HEIGHT + _LEGEND_LINE * len(names)
    return _document(chart.title, chart.label, WIDTH, height, inside)


#: Room around a picture.
_AROUND = 12.0


def _picture(picture: Picture) -> str:
    width = picture.width + 2 * _AROUND
    height = _TOP + picture.height + _LEGEND_LINE * len(picture.legend) + _AROUND
    return _document(picture.title, picture.label, width, height, _inside(picture))


def _inside(picture: Picture) -> Iterator[str]:
    yield f'<g transform="translate({_AROUND:g} {_TOP})" shape-rendering="crispEdges">'
    for x1, y1, x2, y2 in picture.links:
        yield f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#565f6b"/>'
    for box in picture.boxes:
        colour = _COLOURS.get(box.colour, "#1b1f24")
        edge = ' stroke="#565f6b"' if colour == "none" else ""
        place = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
        yield f'<rect {place} fill="{colour}"{edge}/>'
    for x, y, words in picture.texts:
        yield f'<text x="{x:g}" y="{y:g}">{_text(words)}</text>'
    for index, (name, colour) in enumerate(picture.legend):
        y = picture.height + _LEGEND_LINE * index + 12
        yield f'<rect x="0" y="{y - 10:g}" width="12" height="12" fill="{_COLOURS[colour]}"/>'
        yield f'<text x="20" y="{y:g}">{_text(name)}</text>'
    yield "</g>"


def _text(text: str) -> str:
    return escape(one_line(text))


class _Axis:
    """Places values between two ends, linearly or by their logarithms."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, log: bool) -> None:
        known = [value for value in values if not log or value > 0.0] or [1.0]
        low, high = min(known), max(known)
        self.log = log
        if not log:
            low = min(low, 0.0)
        if high <= low:
            high = low * 2.0 if low > 0.0 else low + 1.0
        self.low, self.high, self._start, self._end = low, high, start, end

    def at(self, value: float) -> float:
        """Return the place of ``value``; raises ValueError for what a logarithm cannot have."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Return evenly placed numbers from end to end."""
        if self.log:
            ratio = self.high / self.low
            return [self.low * ratio ** (i / (_TICKS - 1)) for i in range(_TICKS)]
        return [self.low + (self.high - self.low) * i / (_TICKS - 1) for i in range(_TICKS)]


def _lines(plot: Lines) -> Iterator[str]:
    xs = [float(x) for x in plot.x]
    ys = [
        y
        for curve in plot.curves
        for values in (curve.y, curve.low or (), curve.high or ())
        for y in values
        if y is not None
    ]
    across = _Axis(xs, _LEFT, WIDTH - _RIGHT, log=plot.xlog)
    up = _Axis(ys, HEIGHT - _BOTTOM, _TOP, log=plot.log)
    yield from _frame(across, up, plot.xname, plot.yname, _writer(plot.unit))
    for curve in plot.curves:
        yield from _curve(curve, xs, across, up)
    for index, curve in enumerate(plot.curves):
        y = HEIGHT + _LEGEND_LINE * index
        yield f'<rect x="{_LEFT}" y="{y - 9}" width="14" height="4" fill="{_colour(curve)}"/>'
        yield f'<text x="{_LEFT + 22}" y="{y}">{_text(curve.name)}</text>'


def _writer(unit: str) -> Callable[[float], str]:
    if unit == "s":
        return lambda value: q.seconds(value, 2)
    return lambda value: q.share(value) if unit == "1" else f"{value:,.3g}"


def _frame(
    across: _Axis, up: _Axis, xname: str, yname: str, write: Callable[[float], str]
) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for tick in up.ticks():
        y = up.at(tick)
        yield f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e7eb"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_text(write(tick))}</text>'
    for tick in across.ticks():
        x = across.at(tick)
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,.4g}</text>'
    names = f"{xname}{' (log)' if across.log else ''}"
    middle = (_LEFT + right) / 2
    yield f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle">{_text(names)}</text>'
    yield f'<text x="{_LEFT}" y="{_TOP - 6}">{_text(yname)}{" (log)" if up.log else ""}</text>'


def _colour(curve: Curve) -> str:
    return _COLOURS.get(curve.colour, "#1b1f24")


def _curve(curve: Curve, xs: Sequence[float], across: _Axis, up: _Axis) -> Iterator[str]:
    known = [
        (across.at(x), up.at(y), index)
        for index, (x, y) in enumerate(zip(xs, curve.y, strict=True))
        if y is not None and (not up.log or y > 0.0) and (not across.log or x > 0.0)
    ]
    colour = _colour(curve)
    if not curve.points:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in known)
        dash = ' stroke-dasharray="6 4"' if curve.dash else ""
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>'
        return
    for x, y, index in known:
        low, high = (side[index] if side else None for side in (curve.low, curve.high))
        if low is not None and high is not None and (not up.log or low > 0.0):
            ends = f'y1="{up.at(low):.1f}" y2="{up.at(high):.1f}"'
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" {ends} stroke="{colour}"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _heat(plot: HeatMap) -> Iterator[str]:
    """Draw cells from white to the darkest for the largest value; none where none was measured."""
    top = max((value for value in plot.values if value is not None), default=0.0) or 1.0
    columns, rows = len(plot.starts), len(plot.rows)
    wide = (WIDTH - _LEFT - _RIGHT) / max(columns, 1)
    high = (HEIGHT - _TOP - _BOTTOM) / max(rows, 1)
    for index, value in enumerate(plot.values):
        if value is not None:
            x, y = _LEFT + wide * (index % columns), _TOP + high * (index // columns)
            shade = f'fill="#1746b4" fill-opacity="{value / top:.3f}"'
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.2f}" height="{high:.2f}" {shade}/>'
    bottom = HEIGHT - _BOTTOM
    yield f'<text x="{_LEFT}" y="{bottom + 18}">timestep 0 to {plot.end - 1:,}, across</text>'
    shades = f"probed steps, down; white 0, full {q.seconds(top)}"
    yield f'<text x="{_LEFT}" y="{bottom + 36}">{shades}</text>'
