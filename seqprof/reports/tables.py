"""The tables of the console as a plain text: what `-o report.txt` writes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TextIO

from seqprof.reports.formats import EVERY_KIND, Format, Result

#: Kernels of a trace that are listed where nobody says how many.
MOST_KERNELS = 10


def print_result(
    result: Result,
    file: TextIO | None = None,
    *,
    quiet: bool = False,
    path: bool = False,
    kernels: int = MOST_KERNELS,
) -> None:
    """Print the tables of one result to ``file`` (default: stdout).

    Args:
        quiet: only what it comes to (run, compare, scale).
        path: list the longest chain too (depth).
        kernels: how many are listed at most (trace).
    """
    file = file or sys.stdout
    if result.kind == "run":
        from seqprof.reports.console import print_report

        print_report(result.summary, file, quiet=quiet)
    elif result.kind == "compare":
        from seqprof.reports.compare_console import print_comparison

        print_comparison(result.summary, file, quiet=quiet)
    elif result.kind == "scale":
        from seqprof.reports.scale_console import print_scaling

        print_scaling(result.summary, file, quiet=quiet)
    elif result.kind == "depth":
        from seqprof.reports.depth_console import print_depth

        found = result.summary
        print_depth(found.models, found.assumptions, path=path, file=file)
    else:
        from seqprof.reports.trace_console import print_trace

        print_trace(result.summary, kernels, file)


def title(result: Result, index: int) -> str:
    """Return the line above one of several results."""
    from seqprof.reports.escaping import printable

    return f"{'' if index == 0 else chr(10)}== {printable(result.name)} ==\n"


def render(results: Sequence[Result]) -> bytes:
    """Return the tables as UTF-8 text, 80 columns wide or as COLUMNS says, without colours."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="utf-8")
    for index, result in enumerate(results):
        if len(results) > 1:
            file.write(title(result, index))
        print_result(result, file)
    file.flush()
    return raw.getvalue()


TABLE = Format(
    name="table",
    title="the tables that a terminal shows, as plain text",
    suffixes=(".txt",),
    kinds=EVERY_KIND,
    several=True,
    render=render,
)
