"""Results → one HTML file: templates, style, script and data, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from seqprof.reports.formats import Result
from seqprof.reports.html.blocks import Article
from seqprof.reports.html.packed import embed
from seqprof.reports.html.plots import Plot

_FOLDER = Path(__file__).parent
_STATIC = _FOLDER / "static"
#: uPlot is vendored: static/UPLOT.md says from where.
_STYLES = ("uPlot.min.css", "report.css")
_LIBRARY = "uPlot.iife.min.js"
#: In this order: the last one begins to draw.
_SCRIPTS = ("numbers.js", "elements.js", "backdrop.js", "lines.js", "map.js", "page.js")


def render(results: Sequence[Result]) -> bytes:
    """Return the page of one or more results, as UTF-8.

    Raises:
        SeqprofError: a number is not finite.
    """
    articles = [_article(result) for result in results]
    charts = _Charts()
    page = _templates().get_template("page.html.j2")
    style, script = _asset(*_STYLES), _script()
    return page.render(
        articles=articles,
        title=" · ".join(article.title for article in articles),
        policy=_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        licence=(_STATIC / "uPlot.LICENSE").read_text(encoding="utf-8"),
        charts=charts,
    ).encode("utf-8", "replace")


def _article(result: Result) -> Article:
    """Import what one kind needs only when it is shown."""
    module = import_module(f"seqprof.reports.html.{result.kind}")
    make: Callable[[Result], Article] = module.article
    return make(result)


class _Charts:
    """Numbers the plots as the templates come to them, and keeps their data for the end."""

    def __init__(self) -> None:
        self._data: list[dict[str, Any]] = []

    def add(self, plot: Plot) -> int:
        """Keep the data of a plot; returns its number."""
        self._data.append(plot.data())
        return len(self._data) - 1

    def json(self) -> Markup:
        """Return all data as text that cannot leave its script element."""
        return Markup(embed(self._data))


def _code(text: str) -> Markup:
    """Escape a sentence; what stands between backticks in it is code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["code"] = _code
    return made


def _asset(*names: str) -> str:
    return "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)


def _script() -> str:
    """Return all scripts as one; what ours declare stays inside a function."""
    return f'{_asset(_LIBRARY)}\n(() => {{\n"use strict";\n{_asset(*_SCRIPTS)}\n}})();\n'


def _policy(script: str, style: str) -> str:
    """Allow this very script and style and nothing else: no network, no other script, no form."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
