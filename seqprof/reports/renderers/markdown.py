"""Documents in GitHub-flavoured Markdown: the first screen, and everything else folded."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch

from seqprof.reports import document as d
from seqprof.reports.escaping import (
    code_block,
    markdown,
    markdown_inline,
    markdown_sentence,
    one_line,
)
from seqprof.reports.quantities import NOTHING


def render(document: d.Document) -> str:
    """Return one document as Markdown; one heading, the first screen, the rest folded."""
    return "\n".join(_lines(document))


def _lines(document: d.Document) -> Iterator[str]:
    yield f"### {markdown(document.title)}"
    yield ""
    for section in document.sections:
        if section.rank < d.DETAIL:
            yield from _section(section)
        else:
            yield from _folded(section.title or section.name, section.blocks)
    if document.subtitle:
        yield f"<sub>{markdown(document.subtitle)}</sub>"
        yield ""


def _section(section: d.Section) -> Iterator[str]:
    if section.title:
        yield f"**{markdown(section.title)}**"
        yield ""
    for block in section.blocks:
        yield from lines_of(block)
    deeper = [block for block in map(_deeper, section.blocks) if block is not None]
    if deeper:
        yield from _folded(f"All of: {section.title or section.name}", deeper)


def _deeper(block: d.Block) -> d.Block | None:
    """Return what the first screen leaves out of a block; None where that is nothing."""
    if isinstance(block, d.Table):
        if block.deepest >= d.DETAIL:
            return block
        return d.Prose(lines=block.remarks) if block.remarks else None
    if isinstance(block, d.Chart):
        return block.table
    if isinstance(block, d.Only) and block.where == "detail":
        return d.Folded(summary="", blocks=block.blocks)
    return None


def _folded(title: str, blocks: Iterable[d.Block]) -> Iterator[str]:
    # Inside the tag it is HTML, where no backslash escapes.
    yield f"<details><summary>{html.escape(one_line(title))}</summary>"
    yield ""
    for block in blocks:
        yield from all_of(block)
    yield "</details>"
    yield ""


def all_of(block: d.Block) -> Iterator[str]:
    """Yield everything of a block that stands inside a fold already."""
    if isinstance(block, d.Table):
        yield from _table(block)
        yield from _sentences(block.remarks)
    elif isinstance(block, d.Chart):
        yield from _titled(block.title)
        yield from all_of(block.table)
        yield from _sentences(block.remarks)
    elif isinstance(block, (d.Folded, d.Only)):
        if isinstance(block, d.Folded) and block.summary:
            yield from _titled(block.summary)
        for inner in block.blocks:
            if not (isinstance(inner, d.Only) and inner.where == "page"):
                yield from all_of(inner)
    else:
        yield from lines_of(block)


def _titled(title: str) -> Iterator[str]:
    yield f"*{markdown(title)}*"
    yield ""


@singledispatch
def lines_of(block: object) -> Iterator[str]:
    """Yield the lines of a block as they stand on the first screen."""
    raise TypeError(type(block))


@lines_of.register
def _(block: d.Prose) -> Iterator[str]:
    bold = "**" if block.tone == "doubt" else ""
    for line in block.lines:
        yield f"{bold}{markdown_sentence(line)}{bold}"
        yield ""
    if block.command:
        yield from code_block(block.command)
        yield ""


@lines_of.register
def _(block: d.Facts) -> Iterator[str]:
    yield from (f"- {markdown(name)}: {markdown_sentence(text)}" for name, text in block.pairs)
    yield ""


@lines_of.register
def _(block: d.Headline) -> Iterator[str]:
    yield " · ".join(f"{markdown(name)} {markdown(cell.text)}" for name, cell in block.figures)
    yield ""


@lines_of.register
def _(block: d.Caveats) -> Iterator[str]:
    for caveat in block.caveats:
        evidence = f" ({markdown_sentence(caveat.evidence)})" if caveat.evidence else ""
        remedy = f" → {markdown_sentence(caveat.remedy)}" if caveat.remedy else ""
        yield f"- **{caveat.severity}**: {markdown_sentence(caveat.text)}{evidence}.{remedy}"
    yield ""


@lines_of.register
def _(block: d.Table) -> Iterator[str]:
    yield from _table(block.up_to(d.USEFUL))


@lines_of.register
def _(block: d.Chart) -> Iterator[str]:
    return
    yield


@lines_of.register
def _(block: d.Picture) -> Iterator[str]:
    if block.drawn:
        wide = max(len(label) for label, _ in block.drawn) + 2
        yield from _titled(block.title)
        yield from code_block(
            "\n".join(f"{one_line(label):<{wide}}{one_line(text)}" for label, text in block.drawn)
        )
        yield ""
        return
    yield markdown_sentence(block.label)
    yield ""
    yield from _table(block.table.up_to(d.USEFUL))


@lines_of.register
def _(block: d.Bars) -> Iterator[str]:
    return  # the table beside it says the same
    yield


@lines_of.register
def _(block: d.Forest) -> Iterator[str]:
    yield from (f"- {markdown(span.name)}: {markdown(span.text)}" for span in block.spans)
    yield ""


@lines_of.register
def _(block: d.Verbatim) -> Iterator[str]:
    yield from code_block(block.text)
    yield ""


@lines_of.register
def _(block: d.Folded) -> Iterator[str]:
    yield from _folded(block.summary, block.blocks)


@lines_of.register
def _(block: d.Only) -> Iterator[str]:
    if block.where in ("screen", "written"):
        for inner in block.blocks:
            yield from lines_of(inner)


def _table(table: d.Table) -> Iterator[str]:
    """Yield a table, the first column to the left, and why a number is missing."""
    if not table.rows:
        return
    yield _row([markdown(column.name) for column in table.columns])
    sides = ["---" if column.sentences else "---:" for column in table.columns[1:]]
    yield "|" + "|".join(["---", *sides]) + "|"
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])
    yield ""
    for names, reason in table.absent:
        yield f"{NOTHING} {markdown(names)}: {markdown(reason)}"
        yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: d.Cell) -> str:
    text = markdown_inline(cell.text)
    return f"**{text}**" if cell.tone in ("good", "bad") and text else text


def _sentences(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"- {markdown_sentence(line)}" for line in lines)
    if lines:
        yield ""
