"""The document of `seqprof scale`: recording, summary and rows."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from seqprof import store
from seqprof.analysis.rows import Row
from seqprof.analysis.scale.summary import ScaledSummary
from seqprof.recording import Recording
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result


class ScaleDocument(Envelope, frozen=True, kw_only=True):
    """A stored scaling. Only `recording` is read back; the rest is derived from it."""

    recording: Recording
    summary: Annotated[ScaledSummary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary, flat")]


DOCUMENT = ScaleDocument


def of_result(result: Result) -> bytes:
    """Return the document of a scaling, ended by a newline.

    Raises:
        SeqprofError: a number is not finite.
    """
    recording = result.recording
    assert recording is not None
    labels = dict.fromkeys(candidate.label for candidate in recording.candidates)
    parts = {"recording": recording, "summary": result.summary, "rows": result.rows()}
    return document(
        result, ", ".join(labels), {name: store.dumps(part) for name, part in parts.items()}
    )
