"""The HTML report: one file that loads nothing, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.reports.formats import EVERY_KIND, Format, Result


def _render(results: Sequence[Result]) -> bytes:
    from seqprof.reports.html.page import render  # Jinja2, only when a page is asked for

    return render(results)


HTML = Format(
    name="html",
    title="one self-contained page with plots, for people",
    suffixes=(".html", ".htm"),
    kinds=EVERY_KIND,
    several=True,
    render=_render,
)
