"""Trace summaries ⇄ JSON, all times integer nanoseconds (in the rows seconds)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.rows import Row
from seqprof.analysis.timeline.rows import rows
from seqprof.analysis.timeline.summary import TraceSummary
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class OneTrace(TraceSummary, frozen=True, kw_only=True):
    """One trace file, and its numbers once more as flat rows."""

    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat; seconds")]


class TraceDocument(Envelope, frozen=True, kw_only=True):
    """What `seqprof trace` found; of it only the summaries are read back."""

    traces: tuple[OneTrace, ...]


DOCUMENT = TraceDocument


class _Stored(msgspec.Struct):
    traces: tuple[TraceSummary, ...]


def of_results(results: Sequence[Result]) -> bytes:
    """Return one document of one or more traces, ended by a newline."""
    traces = tuple(
        OneTrace(**msgspec.structs.asdict(result.summary), rows=rows(result.summary))
        for result in results
    )
    about = ", ".join(result.summary.source for result in results)
    made = document(results[0], about, {"traces": msgspec.json.encode(traces)})
    return msgspec.json.format(made, indent=2) + b"\n"


def of_result(result: Result) -> bytes:
    """Return the document of one trace, ended by a newline."""
    return of_results([result])


def read(data: bytes, name: str) -> list[Result]:
    """Read back what :func:`of_results` wrote; each trace has the name of its own file.

    Raises:
        msgspec.DecodeError: it is another document.
    """
    return [
        Result(kind="trace", name=made.source, summary=made, recording=None)
        for made in msgspec.json.decode(data, type=_Stored).traces
    ]
