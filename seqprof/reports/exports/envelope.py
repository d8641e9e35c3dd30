"""What every JSON document of seqprof begins with, whatever kind of result it holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seqprof import __version__, store
from seqprof.recording import SCHEMA_VERSION
from seqprof.reports.formats import Result


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What a document is. Only what was measured is read back; the rest is derived anew."""

    schema_version: Annotated[
        int,
        Meta(description="of all kinds of documents; raised whenever one of them changes shape"),
    ]
    kind: Annotated[str, Meta(description="kind of result: the command that brings it")]
    seqprof: Annotated[str, Meta(description="version of the seqprof that wrote the document")]
    created: Annotated[
        str,
        Meta(description="ISO 8601, UTC: when it was measured, else when it was first derived"),
    ]
    about: Annotated[
        str, Meta(description="the model, the candidates, the trace, or the recordings compared")
    ]


def document(result: Result, about: str, parts: Mapping[str, Any]) -> bytes:
    """Return a document as strict JSON, ended by a newline.

    Args:
        result: what it holds.
        about: what that is about, in a few words.
        parts: what follows the envelope, by name; bytes are JSON already.

    Raises:
        SeqprofError: a number is not finite.
    """
    envelope = Envelope(
        schema_version=SCHEMA_VERSION,
        kind=result.kind,
        seqprof=__version__,
        created=_created(result),
        about=about,
    )
    body = b"".join(
        b",%b:%b"
        % (msgspec.json.encode(key), part if isinstance(part, bytes) else store.dumps(part))
        for key, part in parts.items()
    )
    return store.dumps(envelope)[:-1] + body + b"}\n"


def of_candidates(result: Result) -> bytes:
    """Return the document of what was measured of several candidates: recording, summary, rows.

    Raises:
        SeqprofError: a number is not finite.
    """
    recording = result.recording
    assert recording is not None
    labels = dict.fromkeys(candidate.label for candidate in recording.candidates)
    parts = {"recording": recording, "summary": result.summary, "rows": result.rows()}
    return document(result, ", ".join(labels), parts)


def _created(result: Result) -> str:
    if result.recording is not None:
        return result.recording.created
    return result.created or datetime.now(UTC).isoformat(timespec="seconds")


def schema(kind: str, shape: type[Envelope]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the documents of one kind."""
    described = msgspec.json.schema(shape)
    for definition in described["$defs"].values():
        if definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
    described["$defs"][shape.__name__]["properties"]["kind"]["const"] = kind
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"seqprof {kind}",
        **described,
    }
