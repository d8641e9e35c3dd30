"""A scaling as flat rows: each point, how the cost grows, and where models cross."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.rows import Row, rows_of
from seqprof.analysis.scale.quantities import BATCH, LENGTH, MEETING, POINT
from seqprof.analysis.scale.summary import ScaledSummary


def rows(summary: ScaledSummary) -> tuple[Row, ...]:
    """Return every number of the summary, named as in the rows of a run where it has its like."""
    return tuple(_rows(summary))


def _rows(summary: ScaledSummary) -> Iterator[Row]:
    for point in summary.points:
        yield from rows_of(
            POINT,
            point,
            {
                "candidate": point.label,
                "seq_len": point.timesteps,
                "batch_size": point.batch_size,
            },
        )
    for line in summary.lengths:
        yield from rows_of(LENGTH, line, {"candidate": line.label, "batch_size": line.batch_size})
    for batches in summary.batches:
        yield from rows_of(
            BATCH, batches, {"candidate": batches.label, "seq_len": batches.timesteps}
        )
    for meeting in summary.crossovers:
        yield from rows_of(
            MEETING,
            meeting,
            {
                "candidate": meeting.first,
                "against": meeting.second,
                "batch_size": meeting.batch_size,
            },
        )
