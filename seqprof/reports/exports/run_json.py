"""The document of `seqprof run`: recording, summary and rows, below a size."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from seqprof import store
from seqprof.analysis.rows import Row
from seqprof.analysis.run.rows import MOST_TIMESTEP_ROWS, rows
from seqprof.analysis.run.summary import Summary
from seqprof.recording import Recording
from seqprof.reports.exports.envelope import Envelope, document
from seqprof.reports.formats import Result

#: A document is kept below this, where the recording itself leaves room for it.
LARGEST_BYTES = 5_000_000
#: What a row with a timestep takes, at most, apart from the name of its loop.
_ROW_BYTES = 170
#: Rows with a timestep that are written however large the recording is.
_FEWEST_TIMESTEP_ROWS = 1_024


class RunDocument(Envelope, frozen=True, kw_only=True):
    """A stored recording. Only `recording` is read back; the rest is derived from it."""

    recording: Recording
    summary: Annotated[Summary, Meta(description="derived from the recording")]
    rows: Annotated[tuple[Row, ...], Meta(description="the summary and each timestep, flat")]


DOCUMENT = RunDocument


def of_result(result: Result) -> bytes:
    """Return the document of a run, ended by a newline.

    Raises:
        SeqprofError: a number is not finite.
    """
    recording = result.recording
    assert recording is not None
    stored = store.dumps(recording)
    derived = store.dumps(result.summary)
    room = (LARGEST_BYTES - len(stored) - len(derived)) // _row_bytes(recording)
    most = max(_FEWEST_TIMESTEP_ROWS, min(MOST_TIMESTEP_ROWS, room))
    flat = store.dumps(rows(result.summary, recording.trials[0], most))
    about = recording.trials[0].workload.model
    return document(result, about, {"recording": stored, "summary": derived, "rows": flat})


def _row_bytes(recording: Recording) -> int:
    names = (len(latency.loop) for trial in recording.trials for latency in trial.latencies)
    return _ROW_BYTES + max(names, default=0)
