"""Sequential depth as flat rows: counts at each recorded length, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqprof.analysis.depth import Cost
from seqprof.analysis.model_depth import DepthSummary, Derived, ModelDepth
from seqprof.analysis.rows import Row

_COUNTED = "derived: counted in the graph of operations, from shapes alone"
#: Field of a cost to its metric and unit.
_COSTS = (
    ("depth_ops", "depth", "1"),
    ("work_ops", "depth_work", "1"),
    ("work_flops", "work_flops", "1"),
    ("span_flops", "span_flops", "1"),
    ("work_bytes", "work_bytes", "B"),
)


def rows(summary: DepthSummary) -> tuple[Row, ...]:
    """Return every number of the summary."""
    return tuple(row for depth in summary.models for row in _model(depth))


def _model(depth: ModelDepth) -> Iterator[Row]:
    recorded = depth.recorded
    where: dict[str, Any] = {"candidate": recorded.model, "batch_size": recorded.batch_size}
    for point in recorded.points:
        for phase, cost in (
            ("forward", point.forward),
            ("backward", point.backward),
            ("step", point.step),
        ):
            yield from _cost(cost, phase, {**where, "seq_len": point.timesteps})
    where["seq_len"] = depth.at.timesteps
    if recorded.optimizer is not None:
        yield from _cost(recorded.optimizer, "optimizer", where)
    yield _derived("parallelism_within_timestep", depth.within_timestep, "1", where)
    yield _derived("parallelism_across_timesteps", depth.across_timesteps, "1", where)
    yield _derived("latency_floor", depth.latency_floor_s, "s", where)
    yield _derived("arithmetic_batch", depth.arithmetic_batch, "1", where)


def _cost(cost: Cost, phase: str, where: dict[str, Any]) -> Iterator[Row]:
    for field, metric, unit in _COSTS:
        yield Row(
            metric=metric,
            phase=phase,
            timestep=None,
            value=getattr(cost, field),
            unit=unit,
            method=_COUNTED,
            **where,
        )


def _derived(metric: str, found: Derived, unit: str, where: dict[str, Any]) -> Row:
    return Row(
        metric=metric,
        phase="step",
        timestep=None,
        value=found.value,
        unit=unit,
        method=found.method,
        reason=found.reason,
        **where,
    )
