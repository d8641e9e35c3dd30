"""Trace summaries → JSON, all times integer nanoseconds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seqprof.analysis.timeline.summary import SCHEMA_VERSION, TraceSummary


def to_json(summaries: Sequence[TraceSummary]) -> str:
    """One strict JSON document: ``{"schema_version": 1, "traces": [...]}``."""
    document = {"schema_version": SCHEMA_VERSION, "traces": summaries}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
