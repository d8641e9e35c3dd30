"""What reports in Markdown are made of, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from seqprof.reports.escaping import markdown


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table whose cells are Markdown already; the first column to the left."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def sentences(lines: Sequence[str]) -> Iterator[str]:
    """Yield a list of sentences, which are text."""
    yield from (f"- {markdown(line)}" for line in lines)
    if lines:
        yield ""
