"""Trace summaries ⇄ JSON, all times integer nanoseconds (in the rows seconds)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.rows import Row
from seqprof.analysis.rows_trace import rows
from seqprof.analysis.timeline.summary import SCHEMA_VERSION, TraceSummary

__all__ = ["SCHEMA_VERSION", "from_json", "to_json"]


class OneTrace(TraceSummary, frozen=True, kw_only=True):
    """One trace file, and its numbers once more as flat rows."""

    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat; seconds")]


class TraceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `seqprof trace` found; of it only the summaries are read back."""

    schema_version: Annotated[int, Meta(description="raised whenever the document changes shape")]
    traces: tuple[OneTrace, ...]


class _Stored(msgspec.Struct):
    traces: tuple[TraceSummary, ...]


def to_json(summaries: Sequence[TraceSummary]) -> str:
    """Return the document as strict JSON."""
    traces = tuple(
        OneTrace(**msgspec.structs.asdict(found), rows=rows(found)) for found in summaries
    )
    document = TraceDocument(schema_version=SCHEMA_VERSION, traces=traces)
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def from_json(data: bytes) -> tuple[TraceSummary, ...]:
    """Read back what :func:`to_json` wrote.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    return msgspec.json.decode(data, type=_Stored).traces
