"""Documents → one HTML file: templates, style, script and data, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from seqprof.reports.document import Block, Document, blocks_for
from seqprof.reports.plots import Plot
from seqprof.reports.renderers.html.bars import placed
from seqprof.reports.renderers.html.forest import drawn
from seqprof.reports.renderers.html.packed import embed
from seqprof.reports.renderers.html.plot_data import data_of

_FOLDER = Path(__file__).parent
_STATIC = _FOLDER / "static"
#: uPlot is vendored: static/UPLOT.md says from where.
_STYLES = ("uPlot.min.css", "report.css")
_LIBRARY = "uPlot.iife.min.js"
#: In this order: the last one begins to draw.
_SCRIPTS = (
    "numbers.js",
    "elements.js",
    "backdrop.js",
    "drawings.js",
    "lines.js",
    "map.js",
    "pictures.js",
    "page.js",
)


def render(documents: Sequence[Document]) -> bytes:
    """Return the page of one or more documents, as UTF-8.

    Raises:
        SeqprofError: a number is not finite.
    """
    page = _templates().get_template("page.html.j2")
    style, script = _asset(*_STYLES), _script()
    return page.render(
        documents=documents,
        title=" · ".join(document.title for document in documents),
        policy=_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        licence=(_STATIC / "uPlot.LICENSE").read_text(encoding="utf-8"),
        charts=_Charts(),
    ).encode("utf-8", "replace")


def _template(block: Block) -> str:
    return f"{type(block).__name__.lower()}.html.j2"


def _shown(blocks: Sequence[Block]) -> list[Block]:
    return list(blocks_for(blocks, "page", "detail", "written"))


class _Charts:
    """Numbers the plots as the templates come to them, and keeps their data for the end."""

    def __init__(self) -> None:
        self._data: list[dict[str, Any]] = []

    def add(self, plot: Plot) -> int:
        """Keep the data of a plot; returns its number."""
        self._data.append(data_of(plot))
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
    made.filters |= {
        "code": _code,
        "template": _template,
        "shown": _shown,
        "placed": placed,
        "drawn": drawn,
    }
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
