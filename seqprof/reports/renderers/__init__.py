"""The formats for people: one document, shown in a terminal, in Markdown or as a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from seqprof.reports.documents import document_of
from seqprof.reports.formats import EVERY_KIND, Format, Result


def title(result: Result, index: int) -> str:
    """Return the line above one of several results."""
    from seqprof.reports.escaping import printable

    return f"{'' if index == 0 else chr(10)}== {printable(result.name)} ==\n"


def _tables(results: Sequence[Result]) -> bytes:
    """Return everything as UTF-8 text, 80 columns wide or as COLUMNS says, without colours."""
    from seqprof.reports.renderers.console import print_document

    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="utf-8")
    for index, result in enumerate(results):
        if len(results) > 1:
            file.write(title(result, index))
        print_document(document_of(result), file, full=True)
    file.flush()
    return raw.getvalue()


def _markdown(results: Sequence[Result]) -> bytes:
    from seqprof.reports.renderers.markdown import render

    return "\n".join(render(document_of(result)) for result in results).encode()


def _page(results: Sequence[Result]) -> bytes:
    from seqprof.reports.renderers.html.page import render  # Jinja2, only when a page is asked for

    return render([document_of(result) for result in results])


TABLE = Format(
    name="table",
    title="all tables that `--full` prints, as plain text",
    suffixes=(".txt",),
    kinds=EVERY_KIND,
    several=True,
    render=_tables,
)
MARKDOWN = Format(
    name="markdown",
    title="the answer, short tables and caveats for a pull request; the rest folded",
    suffixes=(".md",),
    kinds=EVERY_KIND,
    several=True,
    render=_markdown,
)
HTML = Format(
    name="html",
    title="one self-contained page with plots, for people",
    suffixes=(".html", ".htm"),
    kinds=EVERY_KIND,
    several=True,
    render=_page,
)
