"""A device or the host over time: what reports of a trace and of a run draw on one axis.

It stands apart because reading a trace needs nothing else of what is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A thread of the host or a stream of the device; times are shares of each slice."""

    name: str
    busy: Annotated[tuple[float, ...], Meta(description="share of each slice with work, 0 to 1")]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpan:
    """A phase as the host went through it, or a step; nanoseconds since the axis begins."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGap:
    """One gap between activities, on all streams; nanoseconds since the axis begins."""

    start_ns: int
    end_ns: int
    cause: Annotated[str, Meta(description="the cause of most of it")]
    cause_share: Annotated[float, Meta(description="the part of the gap of that cause, 0 to 1")]
    after: Annotated[str, Meta(description="the activity before it")]
    ended_by: Annotated[str, Meta(description="the activity that ended it")]
    launched_by: Annotated[
        str | None, Meta(description="the operator that launched that one; null if not recorded")
    ] = None
    phase: str = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """The whole span in slices of equal length: what was busy in each, and why nothing ran."""

    start_ns: Annotated[int, Meta(description="where it begins, on the profiler's clock")]
    length_ns: int
    busy: Annotated[tuple[float, ...], Meta(description="share of each slice, 0 to 1")]
    idle_by_cause: Annotated[
        dict[str, tuple[float, ...]],
        Meta(description="share of each slice; the causes of a gap are spread evenly over it"),
    ]
    streams: tuple[Lane, ...] = ()
    threads: tuple[Lane, ...] = ()
    lanes_left_out: Annotated[
        int, Meta(description="streams and threads with less work than those listed")
    ] = 0
    phases: Annotated[
        tuple[HostSpan, ...], Meta(description="on the host; none where there are too many")
    ] = ()
    gaps: Annotated[tuple[IdleGap, ...], Meta(description="the largest, at most 10")] = ()

    def __post_init__(self) -> None:
        """Refuse columns of different lengths, as a damaged file may have."""
        lanes = (lane.busy for lane in (*self.streams, *self.threads))
        if {len(c) for c in (*self.idle_by_cause.values(), *lanes)} - {len(self.busy)}:
            raise ValueError("Columns over time differ in length")
