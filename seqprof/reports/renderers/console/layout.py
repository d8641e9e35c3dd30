"""A console that fits its output, text that wraps, tables that never truncate."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Container, Sequence
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seqprof.reports.escaping import printable

#: Width where the output is no terminal and COLUMNS says nothing.
PLAIN_WIDTH = 80

#: Same width each, so that tables stay aligned.
_ASCII = str.maketrans(
    {
        "µ": "u",
        "·": "-",
        "×": "x",
        "–": "-",
        "—": "-",
        "→": ">",
        "─": "-",
        "−": "-",
        "Σ": "S",
        "'": "'",
        **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*#@", strict=True)),
    }
)


def print_to(file: TextIO, render: Callable[[Console], None]) -> None:
    """Render on a console that suits ``file`` and write it in characters that ``file`` can take."""
    probe = Console(file=file)
    terminal = probe.is_terminal
    buffer = io.StringIO()
    render(
        Console(
            file=buffer,
            width=probe.width if file.isatty() else plain_width(),
            force_terminal=terminal,
            no_color=None,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
    )
    text = buffer.getvalue()
    if not terminal:
        text = "\n".join(line.rstrip() for line in printable(text).split("\n"))
    file.write(writable(text, file.encoding or "utf-8"))
    file.flush()


def plain_width() -> int:
    """Return the width for output that is no terminal: COLUMNS, or 80."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) > 0 else PLAIN_WIDTH


def writable(text: str, encoding: str) -> str:
    """Replace characters that ``encoding`` does not have, column by column."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def heading(console: Console, text: str) -> None:
    """Print a section's heading after an empty line."""
    console.print()
    console.print(Text(printable(text), style="bold", overflow="fold"))


def paragraph(console: Console, text: str, *, style: str = "", indent: int = 0) -> None:
    """Print wrapped text, all lines indented alike."""
    console.print(Padding(Text(printable(text), style=style, overflow="fold"), (0, 0, 0, indent)))


def notes(console: Console, texts: Sequence[str]) -> None:
    """Print what belongs below a table, a paragraph each."""
    for text in texts:
        paragraph(console, text, style="dim")


def pairs(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Print labels and what belongs to them, wrapped beside the label."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold", style="dim")
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(Text(printable(label)), Text(printable(text)))
    console.print(grid)


#: What a cell's tone looks like.
TONES = {"best": "green", "worst": "red", "good": "green", "bad": "red"}
#: Spaces between two columns.
_GAP = 2


def table(
    console: Console,
    heads: Sequence[str],
    rows: Sequence[Sequence[Text]],
    left: Container[int] = (),
) -> None:
    """Print a table, the first column and those of words to the left, others to the right.

    Where it does not fit, each row is printed as a block of lines instead: nothing is cut off.

    Args:
        left: columns of words.
    """
    if not fits(console.width, heads, rows):
        _stacked(console, heads, rows)
        return
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index, name in enumerate(heads):
        side: JustifyMethod = "left" if index == 0 or index in left else "right"
        grid.add_column(Text(printable(name)), no_wrap=True, justify=side)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def _stacked(console: Console, heads: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for row in rows:
        console.print(Text(row[0].plain, style="bold", overflow="fold"))
        pairs(
            console,
            [
                (f"  {' '.join(name.split())}", cell.plain)
                for name, cell in zip(heads[1:], row[1:], strict=True)
                if cell.plain
            ],
        )


def fits(width: int, heads: Sequence[str], rows: Sequence[Sequence[Text]]) -> bool:
    """Whether the table is printed as one. (Rich's own measure stops at the console's width.)"""
    texts = [[printable(head) for head in heads], *([cell.plain for cell in row] for row in rows)]
    widths = [
        max(cell_len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*texts, strict=True)
    ]
    return sum(widths) + _GAP * len(widths) <= width
