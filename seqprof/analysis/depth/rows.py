"""Sequential depth as flat rows: counts at each recorded length, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.depth.model_depth import DepthSummary, ModelDepth
from seqprof.analysis.depth.quantities import COST, MODEL
from seqprof.analysis.quantities import Place
from seqprof.analysis.rows import Row, rows_of


def rows(summary: DepthSummary) -> tuple[Row, ...]:
    """Return every number of the summary."""
    return tuple(row for depth in summary.models for row in _model(depth))


def _model(depth: ModelDepth) -> Iterator[Row]:
    recorded = depth.recorded
    of_model: Place = {"candidate": recorded.model, "batch_size": recorded.batch_size}
    for point in recorded.points:
        for phase, cost in (
            ("forward", point.forward),
            ("backward", point.backward),
            ("step", point.step),
        ):
            yield from rows_of(COST, cost, {**of_model, "phase": phase, "seq_len": point.timesteps})
    at: Place = {**of_model, "seq_len": depth.at.timesteps}
    if recorded.optimizer is not None:
        yield from rows_of(COST, recorded.optimizer, {**at, "phase": "optimizer"})
    yield from rows_of(MODEL, depth, at)
