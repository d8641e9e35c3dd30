"""One function a block: how a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch

from rich.console import Console
from rich.text import Text

from seqprof.reports import document as d
from seqprof.reports.escaping import printable
from seqprof.reports.quantities import NOTHING
from seqprof.reports.renderers.console import drawings
from seqprof.reports.renderers.console.layout import (
    TONES,
    fits,
    notes,
    pairs,
    paragraph,
    table,
)

_SEVERITIES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_PROSE = {"answer": "", "doubt": "bold yellow", "warning": "yellow", "quiet": "dim"}
#: Caveats on the first screen.
FIRST_CAVEATS = 2
#: A longer head of a by-row table is broken.
_LONG_HEAD = 14


#: Lines of a picture on the first screen, beside the one that explains them.
_FIRST_LINES = 3


@dataclass(frozen=True, slots=True)
class Out:
    """Where blocks are printed, and how much of them.

    Attributes:
        full: everything; else what belongs on the first screen.
        title: the heading that stands above; a caption does not say it again.
    """

    console: Console
    full: bool
    title: str = ""


@singledispatch
def show(block: object, out: Out) -> None:
    """Print a block; raises TypeError for what is none."""
    raise TypeError(type(block))


@show.register
def _(block: d.Prose, out: Out) -> None:
    for line in block.lines:
        paragraph(out.console, line, style=_PROSE.get(block.tone, ""))
    if block.command:
        # Not wrapped: it is there to be copied.
        out.console.print(Text(f"  {printable(block.command)}"), soft_wrap=True)


@show.register
def _(block: d.Facts, out: Out) -> None:
    pairs(out.console, block.pairs)


@show.register
def _(block: d.Headline, out: Out) -> None:
    if out.full:
        pairs(out.console, [(name, _reasoned(cell)) for name, cell in block.figures])
        return
    paragraph(out.console, " · ".join(f"{name} {_reasoned(cell)}" for name, cell in block.figures))


def _reasoned(cell: d.Cell) -> str:
    return f"{cell.text} ({cell.reason})" if cell.reason else cell.text


@show.register
def _(block: d.Caveats, out: Out) -> None:
    shown = block.caveats if out.full else block.caveats[:FIRST_CAVEATS]
    for caveat in shown:
        style = _SEVERITIES.get(caveat.severity, "")
        if out.full:
            paragraph(out.console, f"{caveat.severity}: {caveat.text}", style=style)
            for text in filter(None, (caveat.evidence, caveat.remedy and f"→ {caveat.remedy}")):
                paragraph(out.console, text, indent=2)
            continue
        evidence = f" ({caveat.evidence})" if caveat.evidence else ""
        paragraph(out.console, f"{caveat.severity}: {caveat.text}{evidence}", style=style)
        if caveat.remedy:
            paragraph(out.console, f"→ {caveat.remedy}", indent=2)
    if len(shown) < len(block.caveats):
        paragraph(
            out.console, f"and {len(block.caveats) - len(shown)} more with --full", style="dim"
        )


@show.register
def _(block: d.Bars, out: Out) -> None:
    drawings.bars(block, out.console)


@show.register
def _(block: d.Forest, out: Out) -> None:
    drawings.forest(block, out.console)


@show.register
def _(block: d.Chart, out: Out) -> None:
    paragraph(out.console, block.title, style="italic")
    drawings.plot(block.plot, out.console)
    if out.full:
        show(block.table, out)
        notes(out.console, block.remarks)


@show.register
def _(block: d.Picture, out: Out) -> None:
    if block.drawn:
        paragraph(out.console, block.title, style="italic")
        few = [*block.drawn[:_FIRST_LINES], *block.drawn[_FIRST_LINES:][-1:]]
        pairs(out.console, block.drawn if out.full else few)
    if out.full:
        paragraph(out.console, block.label)
        if not block.drawn:
            show(block.table, out)
        notes(out.console, block.remarks)


@show.register
def _(block: d.Verbatim, out: Out) -> None:
    paragraph(out.console, block.text)


@show.register
def _(block: d.Folded, out: Out) -> None:
    if out.full:
        out.console.print()
        paragraph(out.console, block.summary, style="italic")
        for inner in block.blocks:
            show(inner, out)


@show.register
def _(block: d.Only, out: Out) -> None:
    if block.where in (("detail", "written") if out.full else ("screen", "terminal")):
        for inner in block.blocks:
            show(inner, out)


# Tables ---------------------------------------------------------------------------------------


@show.register
def _(block: d.Table, out: Out) -> None:
    if not block.rows:
        return
    shown = block if out.full else _on_screen(block, out.console.width)
    if out.full and block.caption and block.caption != out.title:
        out.console.print()
        paragraph(out.console, block.caption, style="italic")
    for part in _parts(shown, out.console.width):
        table(out.console, _heads(part, out.console.width), _texts(part), part.worded)
    for names, reason in shown.absent:
        paragraph(out.console, f"{NOTHING} {names}: {reason}", style="dim")
    if out.full:
        notes(out.console, block.remarks)
        how = [
            f"{names}: {method}" if names else method
            for names, method in block.obtained
            if not _is_remarked(block, names)
        ]
        notes(out.console, ["; ".join(how)] if how else [])


def _is_remarked(block: d.Table, names: str) -> bool:
    """Whether a remark tells already how each of these quantities was obtained."""
    remarks = "; " + "; ".join(block.remarks)
    return all(f"; {name}: " in remarks for name in names.split(", "))


def _on_screen(block: d.Table, width: int) -> d.Table:
    """Return what of a table belongs on the first screen: useful columns where they fit."""
    useful = block.up_to(d.USEFUL)
    if block.by_row or _fits(useful, width):
        return useful
    ranks = [index for index, column in enumerate(useful.columns) if column.rank == d.USEFUL]
    while ranks:
        at = ranks.pop()
        useful = _without(useful, at)
        if _fits(useful, width):
            break
    return useful


def _without(block: d.Table, at: int) -> d.Table:
    return d.Table(
        caption=block.caption,
        columns=[*block.columns[:at], *block.columns[at + 1 :]],
        rows=[[*row[:at], *row[at + 1 :]] for row in block.rows],
        remarks=block.remarks,
    )


def _fits(block: d.Table, width: int) -> bool:
    return fits(width, _heads(block, width), _texts(block))


def _heads(block: d.Table, width: int) -> list[str]:
    """Return the whole heads where they fit, else the short ones."""
    long = [column.name for column in block.columns]
    if not block.by_row and fits(width, long, _texts(block)):
        return long
    return [column.head for column in block.columns]


def _texts(block: d.Table) -> list[list[Text]]:
    return [
        [Text(printable(cell.text), style=TONES.get(cell.tone, "")) for cell in row]
        for row in block.rows
    ]


def _parts(block: d.Table, width: int) -> Iterator[d.Table]:
    """Yield a by-row table in as few parts as fit, of about equally many columns each."""
    others = range(1, len(block.columns))
    if not block.by_row or len(others) < 2:
        yield block
        return
    for count in range(1, len(others) + 1):
        size = math.ceil(len(others) / count)
        parts = [
            _columns(block, [0, *others[at : at + size]]) for at in range(0, len(others), size)
        ]
        if count == len(others) or all(_fits(part, width) for part in parts):
            yield from parts
            return


def _columns(block: d.Table, at: Sequence[int]) -> d.Table:
    return d.Table(
        caption=block.caption,
        columns=[block.columns[index] for index in at],
        rows=[[row[index] for index in at] for row in block.rows],
        by_row=True,
    )
