"""Results as a terminal shows them."""

from __future__ import annotations

import io

from rich.console import Console

from seqprof.recording import Recording
from seqprof.reports.document import View
from seqprof.reports.documents import document_of
from seqprof.reports.formats import Result, result_of
from seqprof.reports.renderers.console import render


def shown(
    what: Recording | Result,
    width: int = 80,
    *,
    full: bool = True,
    quiet: bool = False,
    colour: bool = False,
    view: View | None = None,
) -> str:
    """Return the report without spaces at the ends of lines."""
    result = what if isinstance(what, Result) else result_of(what, "run.json")
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    render(document_of(result, view or View(full=full)), console, full=full, quiet=quiet)
    return "\n".join(line.rstrip() for line in file.getvalue().split("\n"))
