"""Documents in a terminal: the first screen, everything, or one line."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.reports.document import DETAIL, Document, Section, blocks_for
from seqprof.reports.escaping import one_line
from seqprof.reports.renderers.console.blocks import Out, show
from seqprof.reports.renderers.console.layout import heading, paragraph, print_to

#: Where the rest is.
MORE = "All tables: --full · plots: -o report.html · one line: -q"


def print_document(
    document: Document, file: TextIO | None = None, *, full: bool = False, quiet: bool = False
) -> None:
    """Print a document to ``file`` (default: stdout), in the width and colours that it takes.

    Args:
        full: everything; else what fits on one screen.
        quiet: one line.
    """
    print_to(
        file or sys.stdout,
        lambda console: render(document, console, full=full, quiet=quiet),
    )


def render(
    document: Document, console: Console, *, full: bool = False, quiet: bool = False
) -> None:
    """Print a document on ``console``."""
    if quiet:
        console.print(Text(one_line(document.line)), soft_wrap=True)
        return
    paragraph(console, document.title, style="bold")
    if document.subtitle:
        paragraph(console, document.subtitle, style="dim")
    shown = [section for section in document.sections if full or _is_on_screen(section)]
    for section in shown:
        _section(section, console, full)
    if not full:
        console.print()
        paragraph(console, MORE, style="dim")


def _is_on_screen(section: Section) -> bool:
    return section.rank < DETAIL and any(blocks_for(section.blocks, "screen", "terminal"))


def _section(section: Section, console: Console, full: bool) -> None:
    if section.title:
        heading(console, section.title)
    else:
        console.print()
    for block in section.blocks:
        show(block, Out(console, full, section.title))
