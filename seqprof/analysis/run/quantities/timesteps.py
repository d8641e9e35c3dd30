"""The quantities of timesteps and of the loops over them: one entry each, with how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seqprof.analysis.quantities import COUNT, TIME, Quantity, Reader, Table, Value
from seqprof.analysis.run.findings import Findings
from seqprof.analysis.run.marginal import MarginalCost
from seqprof.analysis.run.timesteps import LoopLatency
from seqprof.analysis.statistics import Estimate

TIMESTEP_LATENCY_P50 = Quantity(
    key="timestep_latency_p50",
    dimension=TIME,
    short="p50",
    label="latency of a timestep, median",
    definition="Latency of one timestep: the median over probed steps.",
    group="timestep",
    better="smaller",
)
TIMESTEP_LATENCY_P95 = Quantity(
    key="timestep_latency_p95",
    dimension=TIME,
    short="p95",
    label="latency of a timestep, 95 %",
    definition="Latency of one timestep that 95 % of the probed steps stay below.",
    group="timestep",
    better="smaller",
)
LOOP_TIME = Quantity(
    key="loop_time",
    dimension=TIME,
    short="loop",
    label="loop over timesteps",
    definition="A loop over timesteps, from its first mark to its last, in probed steps.",
    group="loop",
    better="smaller",
    prometheus="loop_time",
)
MARGINAL_TIME = Quantity(
    key="marginal_time_per_timestep",
    dimension=TIME,
    short="per timestep",
    label="one more timestep",
    definition="Derived cost of one more timestep: the slope of time over T.",
    group="cost",
    better="smaller",
    prometheus="marginal_timestep_time",
    judged="time",
    history="every",
)
FIXED_TIME = Quantity(
    key="fixed_time",
    dimension=TIME,
    short="fixed",
    label="fixed time",
    definition="Derived time that no timestep pays for: the intercept of time over T.",
    group="cost",
    better="smaller",
)


def _loops(read: Callable[[LoopLatency], Estimate]) -> Reader[Findings]:
    def values(findings: Findings) -> Iterator[Value]:
        for loop in findings.loops:
            yield read(loop), {"phase": loop.phase, "loop": loop.loop, "clock": loop.clock}

    return values


def _costs(read: Callable[[MarginalCost], Estimate]) -> Reader[Findings]:
    def values(findings: Findings) -> Iterator[Value]:
        for cost in findings.marginal:
            yield read(cost), {"phase": cost.phase}

    return values


def _outside(findings: Findings) -> Iterator[Value]:
    for balance in findings.balances:
        yield balance.remainder, {"phase": balance.phase, "clock": balance.clock}


TIMESTEPS: Table[Findings] = (
    (
        Quantity(
            key="timestep_latency_typical",
            dimension=TIME,
            short="typical",
            label="a typical timestep",
            definition="Latency of a typical timestep: the median over timesteps of their medians.",
            group="loop",
            better="smaller",
            prometheus="timestep_latency",
            history="every",
        ),
        _loops(lambda loop: loop.p50),
    ),
    (
        Quantity(
            key="timestep_latency_sum",
            dimension=TIME,
            short="sum",
            label="sum of the timesteps",
            definition="Sum over the timesteps of their means over probed steps, times the "
            "micro-batches of a step.",
            group="loop",
            better="smaller",
        ),
        _loops(lambda loop: loop.sum_of_means),
    ),
    (LOOP_TIME, _loops(lambda loop: loop.span)),
    (
        Quantity(
            key="operations_per_timestep",
            dimension=COUNT,
            short="ops",
            label="operations per timestep",
            definition="Tensor operations in a timestep: the median over timesteps.",
            group="loop",
            better="smaller",
            prometheus="timestep_operations",
        ),
        _loops(lambda loop: loop.operations),
    ),
    (
        Quantity(
            key="outside_loops",
            dimension=TIME,
            short="outside",
            label="outside the loops",
            definition="What of a phase lies outside its loops over timesteps, in probed steps.",
            group="loop",
        ),
        _outside,
    ),
    (MARGINAL_TIME, _costs(lambda cost: cost.marginal)),
    (FIXED_TIME, _costs(lambda cost: cost.fixed)),
)
