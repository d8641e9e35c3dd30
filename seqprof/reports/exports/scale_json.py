"""The document of `seqprof scale`: recording, summary and rows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from seqprof.analysis.rows import Row
from seqprof.analysis.scale.summary import ScaledSummary
from seqprof.recording import Recording
from seqprof.reports.exports.envelope import Envelope, of_candidates


class ScaleDocument(Envelope, frozen=True, kw_only=True):
    """A stored scaling. Only `recording` is read back; the rest is derived from it."""

    recording: Recording
    summary: Annotated[ScaledSummary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat")]


DOCUMENT = ScaleDocument
of_result = of_candidates
