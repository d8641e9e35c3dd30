"""The format JSON: of every kind one document, in one envelope, with its JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import msgspec

from seqprof.reports.exports.envelope import schema as schema_of
from seqprof.reports.formats import EVERY_KIND, Format, Result
from seqprof.reports.kinds import KINDS, call


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the documents of a kind of result."""
    return schema_of(kind, import_module(KINDS[kind].json).DOCUMENT)


def render(results: Sequence[Result]) -> bytes:
    """Return one document; of several results one document a line (JSON Lines).

    Several traces are one document, as `seqprof trace` has always written them.

    Raises:
        SeqprofError: a number is not finite.
    """
    if all(result.kind == "trace" for result in results):
        from seqprof.reports.exports.trace_json import of_results

        return of_results(results)
    if len(results) == 1:
        return _document(results[0])
    return b"".join(_line(_document(result)) for result in results)


def _line(document: bytes) -> bytes:
    return msgspec.json.format(document, indent=-1).strip() + b"\n"


def _document(result: Result) -> bytes:
    document: bytes = call(f"{KINDS[result.kind].json}:of_result", result)
    return document


JSON = Format(
    name="json",
    title="the document that `show` reads back: what was measured, and flat rows; several as lines",
    suffixes=(".json", ".jsonl"),
    kinds=EVERY_KIND,
    several=True,
    render=render,
)
