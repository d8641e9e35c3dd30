"""A comparison as flat rows: each candidate at each length, and its ratio to the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.compare.compared import CandidateSummary, ComparedSummary, LengthSummary
from seqprof.analysis.compare.quantities import CANDIDATE
from seqprof.analysis.quantities import Place, values
from seqprof.analysis.rows import Row, row


def rows(summary: ComparedSummary) -> tuple[Row, ...]:
    """Return every number of the summary, named as in the rows of a run."""
    return tuple(
        made
        for length in summary.lengths
        for candidate in length.candidates
        for made in _candidate(candidate, length, summary.baseline)
    )


def _candidate(candidate: CandidateSummary, length: LengthSummary, baseline: str) -> Iterator[Row]:
    for quantity, estimate, own in values(CANDIDATE, candidate):
        place: Place = {
            "candidate": candidate.label,
            "seq_len": length.timesteps,
            "batch_size": length.batch_size,
            **own,
        }
        if quantity.key == "step_time_ratio":
            place["against"] = baseline
        yield row(quantity, estimate, place)
