"""What an entry of the table of quantities holds.

Each quantity that seqprof shows has one entry: what it is called, its unit, what it means, which
direction is better, and where it appears. Rows, CSV, JSON, Prometheus, trackers, histories,
comparisons of recordings, dashboards and the tables of reports take all this from the entry.

The entries stand beside what gives the values, with how each is read: in ``run/quantities/``,
``compare/quantities.py``, ``scale/quantities.py``, ``depth/quantities.py`` and
``timeline/quantities.py``. ``catalogue.py`` has them all, by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, TypeVar

from seqprof.analysis.statistics import Estimate

S = TypeVar("S")
T = TypeVar("T")

Better = Literal["smaller", "larger"]
#: Where reports show a quantity: beside the step, or as a column of a table.
Group = Literal[
    "step", "phase", "busy", "loop", "timestep", "cost", "dwell", "profile",
    "comparison", "growth", "depth", "trace",
]  # fmt: skip
#: How `diff` judges two values: a time, an amount that scatters, or a count, which does not.
Judged = Literal["time", "amount", "count"]


@dataclass(frozen=True, slots=True)
class Dimension:
    """What kind of number a quantity is.

    Attributes:
        name: of the dimension; reports choose by it how a value is written.
        unit: SI unit of the stored value; 1 for ratios and counts.
        prometheus: how Prometheus wants a metric's name to end.
        suffix: what an experiment tracker's name ends in.
        grafana: Grafana's own id of the unit.
    """

    name: str
    unit: str
    prometheus: str
    suffix: str
    grafana: str


TIME = Dimension("time", "s", "seconds", "_s", "s")
SHARE = Dimension("share", "1", "ratio", "", "percentunit")
#: A ratio less 1.
CHANGE = Dimension("change", "1", "ratio", "", "percentunit")
RATIO = Dimension("ratio", "1", "ratio", "", "none")
COUNT = Dimension("count", "1", "", "", "none")
EXPONENT = Dimension("exponent", "1", "", "", "none")
BYTES = Dimension("bytes", "B", "bytes", "_bytes", "bytes")
TIMESTEP_RATE = Dimension("timestep rate", "1/s", "timesteps_per_second", "_per_s", "cps")
FLOP_RATE = Dimension("flop rate", "1/s", "", "_per_s", "flops")
POWER = Dimension("power", "W", "watts", "_w", "watt")
ENERGY = Dimension("energy", "J", "joules", "_j", "joule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One quantity.

    Attributes:
        key: its name in rows, CSV, JSON, histories, trackers and after ``--metric``.
        short: head of a narrow column.
        label: its name in words.
        definition: one sentence; docs/metrics.md and Prometheus' help repeat it.
        better: which direction is the better one; None where neither is.
        group: where reports show it.
        prometheus: its name there, between ``seqprof_`` and the unit; None: it is not exposed.
        judged: how `diff` judges it; None: it does not compare this.
        history: the phases that a history keeps it of: every one, or only the passes forward,
            backward and the whole step; None: it keeps none.
    """

    key: str
    dimension: Dimension
    short: str
    label: str
    definition: str
    group: Group
    better: Better | None = None
    prometheus: str | None = None
    judged: Judged | None = None
    history: Literal["every", "passes"] | None = None

    @property
    def worse(self) -> Literal["larger", "smaller"] | None:
        """Which direction of a change is the bad one; None where neither is."""
        if self.better is None:
            return None
        return "larger" if self.better == "smaller" else "smaller"

    def prometheus_name(self, suffix: str = "") -> str:
        """Return the name of the metric that is exposed; ``suffix``: as in ``_low``."""
        parts = (f"seqprof_{self.prometheus}{suffix}", self.dimension.prometheus)
        return "_".join(part for part in parts if part)


class Place(TypedDict, total=False):
    """What one value belongs to; fields of :class:`~seqprof.analysis.rows.Row`."""

    phase: str | None
    timestep: int
    timesteps: int
    loop: str
    clock: str
    cause: str
    candidate: str
    against: str
    seq_len: int | None
    batch_size: int | None
    device: int | None
    step: str
    kernel: str
    verdict: str | None


#: One value of a quantity, and what it belongs to.
Value = tuple[Estimate, Place]
#: Reads a quantity's values from what was analysed.
Reader = Callable[[S], Iterator[Value]]
#: The quantities of one thing that was analysed, each with its reader.
Table = tuple[tuple[Quantity, Reader[S]], ...]


def whole(read: Callable[[S], Estimate]) -> Reader[S]:
    """Read one value that belongs to the thing as a whole."""

    def values(source: S) -> Iterator[Value]:
        yield read(source), {}

    return values


def of_phase(phase: str, read: Callable[[S], Estimate]) -> Reader[S]:
    """Read one value that belongs to a phase."""

    def values(source: S) -> Iterator[Value]:
        yield read(source), {"phase": phase}

    return values


def through(table: Table[T], part: Callable[[S], T]) -> Table[S]:
    """Return the table of a part as one of the thing that has the part."""

    def reading(reader: Reader[T]) -> Reader[S]:
        return lambda source: reader(part(source))

    return tuple((quantity, reading(reader)) for quantity, reader in table)


def values(table: Table[S], source: S) -> Iterator[tuple[Quantity, Estimate, Place]]:
    """Yield every value of every quantity of the table."""
    for quantity, reader in table:
        for estimate, place in reader(source):
            yield quantity, estimate, place


def by_key(*tables: Table[S]) -> Mapping[str, Quantity]:
    """Return the quantities of the tables by their keys."""
    return {quantity.key: quantity for table in tables for quantity, _ in table}
