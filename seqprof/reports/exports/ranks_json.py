"""The ranks of a folder of traces ⇄ JSON (integer nanoseconds; in the rows seconds)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.rows import Row
from seqprof.analysis.timeline.ranks import RanksSummary
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class RanksDocument(Envelope, frozen=True, kw_only=True):
    """What `seqprof trace FOLDER` found."""

    ranks: RanksSummary
    rows: Annotated[tuple[Row, ...], Meta(description="each time of each rank, flat; seconds")]


DOCUMENT = RanksDocument


class _Stored(msgspec.Struct):
    ranks: RanksSummary


def of_result(result: Result) -> bytes:
    """Return the document of a folder's ranks, ended by a newline."""
    parts = {"ranks": result.summary, "rows": result.rows()}
    made = document(result, result.summary.source, parts)
    return msgspec.json.format(made, indent=2) + b"\n"


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_result` wrote, or an older seqprof.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    summary = msgspec.json.decode(data, type=_Stored).ranks
    return [Result(kind="ranks", name=name, summary=summary, recording=None)]
