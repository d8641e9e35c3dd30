"""The document of `seqprof compare`: recording, summary and rows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from seqprof.analysis.compare.compared import ComparedSummary
from seqprof.analysis.rows import Row
from seqprof.recording import Recording
from seqprof.reports.exports.envelope import Envelope, of_candidates


class CompareDocument(Envelope, frozen=True, kw_only=True):
    """A stored comparison. Only `recording` is read back; the rest is derived from it."""

    recording: Recording
    summary: Annotated[ComparedSummary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat")]


DOCUMENT = CompareDocument
of_result = of_candidates
