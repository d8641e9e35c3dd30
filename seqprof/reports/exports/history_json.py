"""The trends of a history ⇄ JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.history.change_points import METHOD
from seqprof.analysis.history.trend import HistorySummary
from seqprof.analysis.rows import Row
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class HistoryDocument(Envelope, frozen=True, kw_only=True):
    """The trends of a history."""

    change_method: Annotated[str, Meta(description="how steps in a trend are found")]
    history: HistorySummary
    rows: Annotated[tuple[Row, ...], Meta(description="each metric of each run, flat")]


DOCUMENT = HistoryDocument


class _Stored(msgspec.Struct):
    history: HistorySummary


def of_result(result: Result) -> bytes:
    """Return the document of a history, ended by a newline."""
    parts = {"change_method": METHOD, "history": result.summary, "rows": result.rows()}
    return document(result, result.summary.name, parts)


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_result` wrote, or an older seqprof.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    summary = msgspec.json.decode(data, type=_Stored).history
    return [Result(kind="history", name=name, summary=summary, recording=None)]
