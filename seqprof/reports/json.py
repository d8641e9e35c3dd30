"""The document that `-o` and `--json` write: recording, summary and rows, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis.rows import MOST_TIMESTEP_ROWS, Row, rows
from seqprof.analysis.summary import Summary
from seqprof.recording import SCHEMA_VERSION, Recording
from seqprof.reports.formats import EVERY_KIND, Format, Result

#: A document is kept below this, where the recording itself leaves room for it.
LARGEST_BYTES = 5_000_000
#: What a row with a timestep takes, at most, apart from the name of its loop.
_ROW_BYTES = 170
#: Rows with a timestep that are written however large the recording is.
_FEWEST_TIMESTEP_ROWS = 1_024


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A stored recording. Only `recording` is read back; the rest is derived from it."""

    schema_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    recording: Recording
    summary: Annotated[Summary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary and each timestep, flat")]


def dumps(recording: Recording, summary: Summary) -> bytes:
    """Return the document as strict JSON, ended by a newline.

    Raises:
        SeqprofError: a number is not finite.
    """
    stored = store.dumps(recording)
    derived = store.dumps(summary)
    room = (LARGEST_BYTES - len(stored) - len(derived)) // _row_bytes(recording)
    most = max(_FEWEST_TIMESTEP_ROWS, min(MOST_TIMESTEP_ROWS, room))
    flat = store.dumps(rows(summary, recording.trials[0], most))
    return b'{"schema_version":%d,"recording":%b,"summary":%b,"rows":%b}\n' % (
        SCHEMA_VERSION,
        stored,
        derived,
        flat,
    )


def _row_bytes(recording: Recording) -> int:
    names = (len(latency.loop) for trial in recording.trials for latency in trial.latencies)
    return _ROW_BYTES + max(names, default=0)


def save(recording: Recording, summary: Summary, path: str) -> None:
    """Write the document to ``path`` atomically, or to standard output for ``-``."""
    store.write(dumps(recording, summary), path)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document."""
    described = msgspec.json.schema(Document)
    for definition in described["$defs"].values():
        if definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "seqprof recording",
        **described,
    }


def render(results: Sequence[Result]) -> bytes:
    """Return one document; of several results one document a line (JSON Lines).

    Several traces are one document, as `seqprof trace` has always written them.

    Raises:
        SeqprofError: a number is not finite.
    """
    if all(result.kind == "trace" for result in results):
        from seqprof.reports.trace_json import to_json

        return to_json([result.summary for result in results]).encode() + b"\n"
    if len(results) == 1:
        return _document(results[0])
    return b"".join(_line(_document(result)) for result in results)


def _line(document: bytes) -> bytes:
    return msgspec.json.format(document, indent=-1).strip() + b"\n"


def _document(result: Result) -> bytes:
    if result.kind == "depth":
        from seqprof.reports import depth_json

        return depth_json.to_json(result.summary).encode() + b"\n"
    if result.kind == "trace":
        from seqprof.reports import trace_json

        return trace_json.to_json([result.summary]).encode() + b"\n"
    assert result.recording is not None
    if result.kind == "run":
        return dumps(result.recording, result.summary)
    from seqprof.reports import compare_json

    return compare_json.dumps(result.recording, result.summary)


JSON = Format(
    name="json",
    title="the document that `show` reads back: recording, summary, flat rows; several as lines",
    suffixes=(".json", ".jsonl"),
    kinds=EVERY_KIND,
    several=True,
    render=render,
)
