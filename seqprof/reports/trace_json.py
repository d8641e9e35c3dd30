"""Trace summaries ⇄ JSON, all times integer nanoseconds (in the rows seconds)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seqprof.analysis.rows_trace import rows
from seqprof.analysis.timeline.summary import SCHEMA_VERSION, TraceSummary

__all__ = ["SCHEMA_VERSION", "from_json", "to_json"]


class _Stored(msgspec.Struct):
    traces: tuple[TraceSummary, ...]


def to_json(summaries: Sequence[TraceSummary]) -> str:
    """One strict JSON document: ``{"schema_version": 1, "traces": [{…, "rows": […]}]}``."""
    traces = [{**msgspec.structs.asdict(found), "rows": rows(found)} for found in summaries]
    document = {"schema_version": SCHEMA_VERSION, "traces": traces}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def from_json(data: bytes) -> tuple[TraceSummary, ...]:
    """Read back what :func:`to_json` wrote.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    return msgspec.json.decode(data, type=_Stored).traces
