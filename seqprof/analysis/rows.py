"""Every value as a flat row, which a dashboard can plot without code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.analysis.quantities import Place, Quantity, S, Table, values
from seqprof.analysis.statistics import Estimate


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value. Fields after ``method`` are left out where they say nothing."""

    metric: str
    phase: Annotated[str | None, Meta(description="null for what belongs to no phase")]
    timestep: Annotated[int | None, Meta(description="the first one, where a row covers several")]
    value: float | None
    unit: Annotated[str, Meta(description="SI; 1 for ratios and counts")]
    method: str
    low: Annotated[float | None, Meta(description="95 % interval")] = None
    high: float | None = None
    reason: Annotated[str | None, Meta(description="why the value is null")] = None
    loop: Annotated[str | None, Meta(description="module called once per timestep")] = None
    clock: str | None = None
    timesteps: Annotated[int, Meta(description="how many timesteps the row covers")] = 1
    cause: Annotated[str | None, Meta(description="of idle time that is split by cause")] = None
    candidate: Annotated[
        str | None, Meta(description="the model, where a command measured several")
    ] = None
    against: Annotated[str | None, Meta(description="the other model of a ratio or crossover")] = (
        None
    )
    seq_len: Annotated[int | None, Meta(description="T, where several were measured")] = None
    batch_size: Annotated[int | None, Meta(description="where several were measured")] = None
    device: Annotated[int | None, Meta(description="of a trace")] = None
    step: Annotated[str | None, Meta(description="of a trace: as the profiler called it")] = None
    kernel: Annotated[str | None, Meta(description="or operator, of a trace")] = None
    verdict: Annotated[str | None, Meta(description="of a comparison: faster, slower …")] = None


def rows_of(table: Table[S], source: S, place: Place | None = None) -> Iterator[Row]:
    """Yield a row for each value of the table; ``place``: what all of them belong to."""
    for quantity, estimate, own in values(table, source):
        yield row(quantity, estimate, {**(place or {}), **own})


def row(quantity: Quantity, estimate: Estimate, place: Place) -> Row:
    """Return one value as a row."""
    whole: Place = {"phase": None, **place}
    return Row(
        metric=quantity.key,
        value=estimate.value,
        unit=estimate.unit,
        method=estimate.method,
        low=estimate.low,
        high=estimate.high,
        reason=estimate.reason,
        **{"timestep": None, **whole},  # type: ignore[arg-type]
    )
