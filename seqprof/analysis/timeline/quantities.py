"""The quantities of a trace: busy and idle of windows, timesteps, kernels. SI seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from seqprof.analysis.quantities import (
    COUNT,
    SHARE,
    TIME,
    Quantity,
    Reader,
    Table,
    Value,
    by_key,
)
from seqprof.analysis.run.quantities.profile import IDLE_TIME_BY_CAUSE, KERNEL_TIME
from seqprof.analysis.run.quantities.run import IDLE_TIME
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.timeline.accounts import Account
from seqprof.analysis.timeline.ranks import RankLine
from seqprof.analysis.timeline.summary import DeviceSummary
from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence

P = TypeVar("P")
_NS = 1e-9


@dataclass(frozen=True)
class Traced(Generic[P]):
    """A part of a trace, and by what method its numbers were obtained."""

    part: P
    method: str


def _time(read: Callable[[P], int]) -> Reader[Traced[P]]:
    return _values("s", lambda part: read(part) * _NS)


def _count(read: Callable[[P], int]) -> Reader[Traced[P]]:
    return _values("1", read)


def _values(unit: str, read: Callable[[P], float]) -> Reader[Traced[P]]:
    def values(traced: Traced[P]) -> Iterator[Value]:
        yield Estimate(value=read(traced.part), unit=unit, method=traced.method, n=1), {}

    return values


def _causes(read: Callable[[P], Mapping[str, int]]) -> Reader[Traced[P]]:
    def values(traced: Traced[P]) -> Iterator[Value]:
        for cause, nanoseconds in read(traced.part).items():
            yield (
                Estimate(value=nanoseconds * _NS, unit="s", method=traced.method, n=1),
                {"cause": cause},
            )

    return values


def _idle_fraction(traced: Traced[DeviceSummary]) -> Iterator[Value]:
    fraction = traced.part.idle_fraction
    reason = "the device ran nothing" if fraction is None else None
    yield Estimate(value=fraction, unit="1", method=traced.method, n=1, reason=reason), {}


def _kernels(unit: str, read: Callable[[int, int], float]) -> Reader[Traced[DeviceSummary]]:
    """Read of each kernel what follows from its total in ns and its number of runs."""

    def values(traced: Traced[DeviceSummary]) -> Iterator[Value]:
        for kernel in traced.part.kernels:
            value = read(kernel.total_ns, kernel.count)
            yield (
                Estimate(value=value, unit=unit, method=traced.method, n=kernel.count),
                {"kernel": kernel.name},
            )

    return values


def _timesteps(read: Callable[[Recurrence], tuple[int, ...]]) -> Reader[Traced[Recurrence]]:
    """Read each timestep, in the order in which they ran."""

    def values(traced: Traced[Recurrence]) -> Iterator[Value]:
        for timestep, nanoseconds in enumerate(read(traced.part)):
            yield (
                Estimate(value=nanoseconds * _NS, unit="s", method=traced.method, n=1),
                {"phase": traced.part.phase, "timestep": timestep},
            )

    return values


BUSY_TIME = Quantity(
    key="busy_time",
    dimension=TIME,
    short="busy",
    label="busy",
    definition="Union of the intervals of all kernels, copies and memsets of a device.",
    group="trace",
)

DEVICE: Table[Traced[DeviceSummary]] = (
    (BUSY_TIME, _time(lambda device: device.busy_ns)),
    (IDLE_TIME, _time(lambda device: device.idle_ns)),
    (
        Quantity(
            key="idle_fraction",
            dimension=SHARE,
            short="idle",
            label="idle fraction",
            definition="Idle time over the span from the device's first activity to its last.",
            group="trace",
            better="smaller",
        ),
        _idle_fraction,
    ),
    (IDLE_TIME_BY_CAUSE, _causes(lambda device: device.idle_by_cause_ns)),
    (KERNEL_TIME, _kernels("s", lambda total_ns, count: total_ns * _NS)),
    (
        Quantity(
            key="kernel_calls",
            dimension=COUNT,
            short="calls",
            label="calls of a kernel",
            definition="How often a kernel ran; without a GPU, an operator on the CPU.",
            group="trace",
        ),
        _kernels("1", lambda total_ns, count: count),
    ),
)
ACCOUNT: Table[Traced[Account]] = (
    (
        Quantity(
            key="window",
            dimension=TIME,
            short="window",
            label="device window",
            definition="From the end of the last activity launched by earlier phases to the end of "
            "the last one launched by this phase.",
            group="trace",
        ),
        _time(lambda account: account.window_ns),
    ),
    (BUSY_TIME, _time(lambda account: account.busy_ns)),
    (IDLE_TIME, _time(lambda account: account.idle_ns)),
    (
        Quantity(
            key="activities",
            dimension=COUNT,
            short="kernels",
            label="device activities",
            definition="Kernels, copies and memsets that a phase launched.",
            group="trace",
        ),
        _count(lambda account: account.activities),
    ),
    (
        Quantity(
            key="launches",
            dimension=COUNT,
            short="launches",
            label="launches",
            definition="Launches by the host in a phase.",
            group="trace",
        ),
        _count(lambda account: account.launches),
    ),
    (IDLE_TIME_BY_CAUSE, _causes(lambda account: account.idle_by_cause_ns)),
)
RECURRENCE: Table[Traced[Recurrence]] = (
    (
        Quantity(
            key="timestep_latency",
            dimension=TIME,
            short="latency",
            label="latency of a timestep",
            definition="From a timestep's first activity on the device to the next one's.",
            group="trace",
            better="smaller",
        ),
        _timesteps(lambda recurrence: recurrence.latency_ns),
    ),
    (
        Quantity(
            key="timestep_gap",
            dimension=TIME,
            short="gap",
            label="gap in a timestep",
            definition="The part of a timestep's latency in which nothing ran.",
            group="trace",
            better="smaller",
        ),
        _timesteps(lambda recurrence: recurrence.gap_ns),
    ),
)


def _of_rank(name: str, definition: str) -> Quantity:
    return Quantity(
        key=f"rank_{name}_time",
        dimension=TIME,
        short=name,
        label=f"{name} of a rank",
        definition=definition,
        group="trace",
    )


#: Times of one rank beside the others, each with how its nanoseconds are read; None where the rank
#: shares no collective.
RANK: tuple[tuple[Quantity, Callable[[RankLine], int | None]], ...] = (
    (
        _of_rank("span", "From a rank's first device activity to its last."),
        lambda line: line.span_ns,
    ),
    (_of_rank("busy", "Union of a rank's device activities."), lambda line: line.busy_ns),
    (_of_rank("idle", "The span of a rank less its busy time."), lambda line: line.idle_ns),
    (
        _of_rank("collective", "Time of a rank's collectives, summed over their names."),
        lambda line: line.collective_ns,
    ),
    (
        _of_rank(
            "exposed", "Time of a rank's collectives during which nothing else ran on its device."
        ),
        lambda line: line.exposed_ns,
    ),
    (
        _of_rank("wait", "Time that a rank's collectives wait for the last rank to begin them."),
        lambda line: line.wait_ns,
    ),
    (
        _of_rank("clock", "A rank's clock less that of the first, from collectives they share."),
        lambda line: line.clock_ns,
    ),
)
QUANTITIES: Mapping[str, Quantity] = {
    **by_key(DEVICE),
    **by_key(ACCOUNT),
    **by_key(RECURRENCE),
    **{quantity.key: quantity for quantity, _ in RANK},
}
