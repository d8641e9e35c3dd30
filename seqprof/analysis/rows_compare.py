"""A comparison as flat rows: each candidate at each length, and its ratio to the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary
from seqprof.analysis.rows import Row, depth_rows, of_estimate


def rows(summary: ComparedSummary) -> tuple[Row, ...]:
    """Return every number of the summary, named as in the rows of a run."""
    return tuple(
        row
        for length in summary.lengths
        for candidate in length.candidates
        for row in _candidate(candidate, length, summary.baseline)
    )


def _candidate(made: CandidateSummary, length: LengthSummary, baseline: str) -> Iterator[Row]:
    where: dict[str, Any] = {
        "candidate": made.label,
        "seq_len": length.timesteps,
        "batch_size": length.batch_size,
    }
    yield of_estimate("step_time", made.step, **where)
    yield of_estimate("phase_time", made.forward, "forward", **where)
    yield of_estimate("phase_time", made.backward, "backward", **where)
    yield of_estimate("throughput", made.tokens_per_s, **where)
    yield of_estimate("marginal_time_per_timestep", made.marginal_forward, "forward", **where)
    yield of_estimate("marginal_time_per_timestep", made.marginal_backward, "backward", **where)
    yield of_estimate("peak_memory", made.peak_memory, "step", **where)
    yield of_estimate(made.busy_source, made.busy, "step", **where)
    yield of_estimate("flop_rate", made.flops_per_s, "step", **where)
    yield of_estimate("model_flops_utilization", made.model_flops_utilization, "step", **where)
    for row in depth_rows(made.depth):
        yield msgspec.structs.replace(row, **where)
    if made.against_baseline is not None:
        found = made.against_baseline
        yield of_estimate(
            "step_time_ratio", found.ratio, against=baseline, verdict=found.verdict, **where
        )
