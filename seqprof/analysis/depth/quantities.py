"""The quantities of sequential depth: what is counted in a graph, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from seqprof.analysis.depth.graph import Cost
from seqprof.analysis.depth.model_depth import Derived, ModelDepth
from seqprof.analysis.quantities import (
    BYTES,
    COUNT,
    RATIO,
    TIME,
    Quantity,
    Reader,
    Table,
    Value,
    by_key,
    whole,
)
from seqprof.analysis.run.quantities.depth import DEPTH_OPS, WORK_OPS
from seqprof.analysis.statistics import Estimate

_COUNTED = "derived: counted in the graph of operations, from shapes alone"


def _counted(unit: str, read: Callable[[Cost], int]) -> Reader[Cost]:
    return whole(lambda cost: Estimate(value=read(cost), unit=unit, method=_COUNTED, n=1))


def _derived(unit: str, read: Callable[[ModelDepth], Derived]) -> Reader[ModelDepth]:
    def values(depth: ModelDepth) -> Iterator[Value]:
        derived = read(depth)
        yield (
            Estimate(value=derived.value, unit=unit, method=derived.method, reason=derived.reason),
            {"phase": "step"},
        )

    return values


COST: Table[Cost] = (
    (DEPTH_OPS, _counted("1", lambda cost: cost.depth_ops)),
    (WORK_OPS, _counted("1", lambda cost: cost.work_ops)),
    (
        Quantity(
            key="work_flops",
            dimension=COUNT,
            short="FLOPs",
            label="FLOPs in all",
            definition="FLOPs of the matrix products, convolutions and attention in all.",
            group="depth",
            better="smaller",
        ),
        _counted("1", lambda cost: cost.work_flops),
    ),
    (
        Quantity(
            key="span_flops",
            dimension=COUNT,
            short="FLOPs in a chain",
            label="FLOPs on one chain",
            definition="Most FLOPs on one chain of dependent operations.",
            group="depth",
            better="smaller",
        ),
        _counted("1", lambda cost: cost.span_flops),
    ),
    (
        Quantity(
            key="work_bytes",
            dimension=BYTES,
            short="bytes",
            label="bytes moved",
            definition="Bytes read and written by all operations.",
            group="depth",
            better="smaller",
        ),
        _counted("B", lambda cost: cost.work_bytes),
    ),
)
MODEL: Table[ModelDepth] = (
    (
        Quantity(
            key="parallelism_within_timestep",
            dimension=RATIO,
            short="within a timestep",
            label="parallelism within a timestep",
            definition="Work over depth of a sequence of one timestep.",
            group="depth",
            better="larger",
        ),
        _derived("1", lambda depth: depth.within_timestep),
    ),
    (
        Quantity(
            key="parallelism_across_timesteps",
            dimension=RATIO,
            short="across timesteps",
            label="parallelism across timesteps",
            definition="T × the depth of one timestep alone, over the depth of the whole.",
            group="depth",
            better="larger",
        ),
        _derived("1", lambda depth: depth.across_timesteps),
    ),
    (
        Quantity(
            key="latency_floor",
            dimension=TIME,
            short="floor",
            label="latency floor",
            definition="Depth (in the operators of the accelerator at hand, if there is one) × the "
            "time per dependent operation: no batch size and no faster arithmetic gets below it.",
            group="depth",
            better="smaller",
        ),
        _derived("s", lambda depth: depth.latency_floor_s),
    ),
    (
        Quantity(
            key="arithmetic_batch",
            dimension=COUNT,
            short="arithmetic batch",
            label="batch that fills the floor",
            definition="Batch at which all FLOPs at peak take as long as the latency floor.",
            group="depth",
        ),
        _derived("1", lambda depth: depth.arithmetic_batch),
    ),
)
QUANTITIES: Mapping[str, Quantity] = {**by_key(COST), **by_key(MODEL)}
