"""The quantities of a scaling: of each point, of how the cost grows, and where models cross."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from seqprof.analysis.quantities import (
    COUNT,
    EXPONENT,
    SHARE,
    TIME,
    Dimension,
    Quantity,
    Reader,
    Table,
    Value,
    by_key,
    of_phase,
    through,
    whole,
)
from seqprof.analysis.run.quantities.depth import LAW, Law
from seqprof.analysis.run.quantities.run import (
    CORE_BUSY_FRACTION,
    NVML_UTILIZATION,
    PEAK_MEMORY,
    PHASE_TIME,
    STEP_TIME,
)
from seqprof.analysis.run.quantities.timesteps import FIXED_TIME, MARGINAL_TIME
from seqprof.analysis.scale.growth import Growth
from seqprof.analysis.scale.summary import BatchGrowth, LengthGrowth, Meeting, Point
from seqprof.analysis.statistics import Estimate, missing

_MISFIT = "largest |median - power law| / median"
_SATURATION = "smallest batch from which on no doubling lifts sequences/s by 10 %"


# How each is read -----------------------------------------------------------------------------


def _passes(point: Point) -> Iterator[Value]:
    yield point.forward, {"phase": "forward"}
    yield point.backward, {"phase": "backward"}


def _busy(source: Quantity) -> Reader[Point]:
    def values(point: Point) -> Iterator[Value]:
        if point.busy_source == source.key:
            yield point.busy, {"phase": "step"}

    return values


def _length(read: Callable[[Growth], Estimate]) -> Reader[LengthGrowth]:
    def values(line: LengthGrowth) -> Iterator[Value]:
        yield read(line.growth), {"phase": line.phase}

    return values


def _local_exponents(line: LengthGrowth) -> Iterator[Value]:
    for local in line.growth.local_exponents:
        yield local.exponent, {"phase": line.phase, "seq_len": local.start}


def _batch(read: Callable[[BatchGrowth], Estimate]) -> Reader[BatchGrowth]:
    return of_phase("step", read)


def _misfit(growth: Growth) -> Estimate:
    if growth.power_misfit is None:
        reason = growth.exponent.reason or "every power law goes through two sizes"
        return missing("1", _MISFIT, reason)
    return Estimate(value=growth.power_misfit, unit="1", method=_MISFIT)


def _saturated(line: BatchGrowth) -> Estimate:
    saturation = line.saturation
    if saturation.batch is None:
        return missing("1", _SATURATION, saturation.reason or "none was measured")
    return Estimate(value=saturation.batch, unit="1", method=_SATURATION)


def _meeting(quantity: str) -> Reader[Meeting]:
    def values(meeting: Meeting) -> Iterator[Value]:
        if meeting.quantity == quantity:
            verdict = "extrapolated" if meeting.crossover.extrapolated else None
            yield meeting.crossover.length, {"verdict": verdict}

    return values


def _depth(point: Point) -> Law:
    return point.depth


# The entries ----------------------------------------------------------------------------------


def _growth(
    key: str,
    dimension: Dimension,
    short: str,
    label: str,
    definition: str,
    prometheus: str | None = None,
) -> Quantity:
    return Quantity(
        key=key,
        dimension=dimension,
        short=short,
        label=label,
        definition=definition,
        group="growth",
        better="smaller",
        prometheus=prometheus,
    )


POINT: Table[Point] = (
    (STEP_TIME, whole(lambda point: point.step)),
    (PHASE_TIME, _passes),
    (PEAK_MEMORY, of_phase("step", lambda point: point.peak_memory)),
    (NVML_UTILIZATION, _busy(NVML_UTILIZATION)),
    (CORE_BUSY_FRACTION, _busy(CORE_BUSY_FRACTION)),
    *through(LAW, _depth),
)
LENGTH: Table[LengthGrowth] = (
    (MARGINAL_TIME, _length(lambda growth: growth.marginal)),
    (FIXED_TIME, _length(lambda growth: growth.fixed)),
    (
        _growth(
            "growth_with_length",
            EXPONENT,
            "T^p",
            "growth with T",
            "Exponent p of one power law over all lengths: time grows as T to this power.",
            "length_growth_exponent",
        ),
        _length(lambda growth: growth.exponent),
    ),
    (
        _growth(
            "growth_with_length_misfit",
            SHARE,
            "misfit",
            "misfit of the power law",
            "Largest distance of a length's median from the power law, over the median.",
        ),
        _length(_misfit),
    ),
    (
        _growth(
            "local_growth_with_length",
            EXPONENT,
            "local p",
            "growth from one length to the next",
            "Exponent between two neighbouring lengths; the row has the shorter one.",
        ),
        _local_exponents,
    ),
)
BATCH: Table[BatchGrowth] = (
    (
        _growth(
            "marginal_time_per_sequence",
            TIME,
            "per sequence",
            "one more sequence",
            "Derived cost of one more sequence in the batch: the slope of time over the batch.",
        ),
        _batch(lambda line: line.growth.marginal),
    ),
    (
        _growth(
            "growth_with_batch",
            EXPONENT,
            "B^p",
            "growth with the batch",
            "Exponent p of one power law over all batches: time grows as B to this power.",
        ),
        _batch(lambda line: line.growth.exponent),
    ),
    (
        _growth(
            "growth_with_batch_misfit",
            SHARE,
            "misfit",
            "misfit of the power law",
            "Largest distance of a batch's median from the power law, over the median.",
        ),
        _batch(lambda line: _misfit(line.growth)),
    ),
    (
        Quantity(
            key="saturated_batch",
            dimension=COUNT,
            short="saturated",
            label="saturated from batch",
            definition="Smallest batch from which on no doubling lifts sequences per second by "
            "10 %.",
            group="growth",
        ),
        _batch(_saturated),
    ),
)
MEETING: Table[Meeting] = (
    (
        Quantity(
            key="crossover_length",
            dimension=COUNT,
            short="crossover",
            label="crossover",
            definition="Length T at which two models' steps take the same time.",
            group="growth",
            prometheus="crossover_timesteps",
        ),
        _meeting("step"),
    ),
    (
        Quantity(
            key="crossover_length_in_memory",
            dimension=COUNT,
            short="crossover",
            label="crossover in memory",
            definition="Length T at which two models need the same peak memory.",
            group="growth",
        ),
        _meeting("peak_memory"),
    ),
)
QUANTITIES: Mapping[str, Quantity] = {
    **by_key(POINT),
    **by_key(LENGTH),
    **by_key(BATCH),
    **by_key(MEETING),
}
