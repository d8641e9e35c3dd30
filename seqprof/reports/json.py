"""The document that `-o` and `--json` write: recording, summary and rows, and its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from seqprof import store
from seqprof.analysis.rows import MOST_TIMESTEP_ROWS, Row, rows
from seqprof.analysis.summary import Summary
from seqprof.recording import SCHEMA_VERSION, Recording

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
