"""The document of `seqprof history --json`."""

from __future__ import annotations

import msgspec

from seqprof import store
from seqprof.analysis.change_points import METHOD
from seqprof.analysis.history_trend import HistorySummary
from seqprof.history import HISTORY_VERSION


class HistoryDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The trends of a history."""

    history_version: int
    change_method: str
    history: HistorySummary


def dumps(summary: HistorySummary) -> bytes:
    """Return the document as strict JSON, ended by a newline."""
    document = HistoryDocument(
        history_version=HISTORY_VERSION, change_method=METHOD, history=summary
    )
    return store.dumps(document) + b"\n"
