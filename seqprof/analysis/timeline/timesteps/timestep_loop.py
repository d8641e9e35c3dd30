"""A loop over timesteps as it is reported, with what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from seqprof.analysis.timeline.timesteps.slow import OpenedTimestep
from seqprof.analysis.timeline.timesteps.verdict import BY_NAMES, MEANING, Evidence

#: Told by what repeats, or by the forward's timesteps and autograd's sequence numbers.
Origin = Literal["repeats", "sequence numbers"]

#: Passes whose T a remark lists.
_MOST_LISTED = 24


class Recurrence(Struct, frozen=True):
    """A loop over timesteps in one phase; times of the pass of median length, one per timestep.

    ``repeats`` is T. ``loops`` counts the loops of that length in a pass: layers and directions one
    after another. ``latency_ns`` reaches from a timestep's first activity to the next one's (the
    last: to its own end), ``gap_ns`` is the part of it in which nothing ran. ``repeats_by_pass`` is
    T in each pass over the phase that was searched, ``steps`` the profiler's step of each of these
    passes. ``unsearched`` passes were left out. ``forward_repeats`` is T of the forward loop that a
    loop of the backward belongs to. ``batch_sizes``: rows in each timestep, where shapes were
    recorded; ``packed``: sequences were packed, so that these differ. ``slowest``: the slowest
    timesteps of the pass, with what ran in them.
    """

    phase: str
    period: int
    repeats: int
    coverage: float
    passes: int
    agreeing: int
    evidence: Evidence
    latency_ns: tuple[int, ...]
    gap_ns: tuple[int, ...]
    median_latency_ns: int
    median_gap_ns: int
    loops: int = 1
    origin: Origin = "repeats"
    repeats_by_pass: tuple[int, ...] = ()
    outer_period: int | None = None
    outer_repeats: int | None = None
    steps: tuple[str, ...] = ()
    unsearched: int = 0
    forward_repeats: int | None = None
    batch_sizes: tuple[int, ...] = ()
    packed: bool = False
    slowest: tuple[OpenedTimestep, ...] = ()

    @property
    def disagrees(self) -> bool:
        """Whether the backward has another T than the forward."""
        return self.forward_repeats not in (None, self.repeats)

    @property
    def remarks(self) -> tuple[str, ...]:
        """How T was found, and what else is to be said of it."""
        return tuple(_remarks(self))

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if not self.latency_ns or len(self.latency_ns) != len(self.gap_ns):
            raise ValueError("Latencies and gaps differ in number")


class Rejected(Struct, frozen=True):
    """A pattern that repeats but is no recurrence, or none at all (``period`` is null).

    ``undecided``: it may be one; the trace does not hold what would tell.
    """

    phase: str
    reason: str
    period: int | None = None
    repeats: int | None = None
    undecided: bool = False


def _remarks(recurrence: Recurrence) -> Iterator[str]:
    yield from _how_it_was_found(recurrence)
    if recurrence.agreeing < recurrence.passes:
        yield f"{recurrence.agreeing} of {recurrence.passes} passes searched have this T"
    if recurrence.outer_period:
        yield f"all of it repeats {recurrence.outer_repeats} times"
    if len(set(recurrence.repeats_by_pass)) > 1:
        yield f"T differs from pass to pass: {_listed(recurrence)}"
    if recurrence.unsearched:
        count = recurrence.unsearched
        yield (
            "one more pass was not searched"
            if count == 1
            else (f"{count:,} more passes were not searched")
        )
    if len(set(recurrence.batch_sizes)) > 1:
        yield f"batch size by timestep: {_stretches(recurrence.batch_sizes)}"
    elif recurrence.packed and not recurrence.batch_sizes:
        yield "packed sequences; their batch sizes are in traces with record_shapes=True"


def _how_it_was_found(recurrence: Recurrence) -> Iterator[str]:
    yield MEANING[recurrence.evidence]
    if recurrence.origin == "sequence numbers":
        yield "in the backward by the forward operators that its nodes belong to"
    if recurrence.loops > 1:
        yield f"{recurrence.loops} such loops, one after another (layers or directions)"
    if recurrence.evidence in BY_NAMES and recurrence.loops == 1:
        yield "equal cells of other layers or directions that follow at once would count with them"
    if recurrence.disagrees:
        yield (
            f"the forward has T = {recurrence.forward_repeats}: forward and backward disagree "
            "(a state that was detached, or timesteps without a gradient)"
        )


def _listed(recurrence: Recurrence) -> str:
    """T of each pass, with its step where there are steps."""
    steps = recurrence.steps or ("",) * len(recurrence.repeats_by_pass)
    each = [
        f"{repeats} ({step})" if step else str(repeats)
        for repeats, step in zip(recurrence.repeats_by_pass, steps, strict=True)
    ]
    hidden = len(each) - _MOST_LISTED
    return ", ".join(each[:_MOST_LISTED]) + (f" … and {hidden} more in the JSON" * (hidden > 0))


def _stretches(sizes: Sequence[int]) -> str:
    """Equal values that follow one another as one stretch of timesteps, the first is 0."""
    starts = [0, *(at for at in range(1, len(sizes)) if sizes[at] != sizes[at - 1])]
    each = [
        f"{sizes[start]} ({start}–{stop - 1})" if stop > start + 1 else f"{sizes[start]} ({start})"
        for start, stop in zip(starts, [*starts[1:], len(sizes)], strict=True)
    ]
    hidden = len(each) - _MOST_LISTED
    return ", ".join(each[:_MOST_LISTED]) + (" …" * (hidden > 0))
