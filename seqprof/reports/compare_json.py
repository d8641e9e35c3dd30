"""The documents of `compare` and `scale`: recording, summary, rows, and their JSON Schemas."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis import rows_compare, rows_scale
from seqprof.analysis.compared import ComparedSummary
from seqprof.analysis.rows import Row
from seqprof.analysis.scaled import ScaledSummary
from seqprof.recording import SCHEMA_VERSION, Recording


class CompareDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A stored comparison. Only `recording` is read back; the rest is derived from it."""

    schema_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    recording: Recording
    summary: Annotated[ComparedSummary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat")]


class ScaleDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A stored scaling. Only `recording` is read back; the rest is derived from it."""

    schema_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    recording: Recording
    summary: Annotated[ScaledSummary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat")]


def dumps(recording: Recording, summary: Any) -> bytes:
    """Return a document as strict JSON, ended by a newline.

    Raises:
        SeqprofError: a number is not finite.
    """
    flat = rows_compare.rows if recording.kind == "compare" else rows_scale.rows
    return b'{"schema_version":%d,"recording":%b,"summary":%b,"rows":%b}\n' % (
        SCHEMA_VERSION,
        store.dumps(recording),
        store.dumps(summary),
        store.dumps(flat(summary)),
    )


def save(recording: Recording, summary: Any, path: str) -> None:
    """Write the document to ``path`` atomically, or to standard output for ``-``."""
    store.write(dumps(recording, summary), path)


def schema(document: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document."""
    described = msgspec.json.schema(document)
    for definition in described["$defs"].values():
        if definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **described,
    }
