"""Costs of one model at several T → its laws, its floor in time and its parallelism."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.depth.graph import Cost, OperationRun
from seqprof.analysis.depth.laws import Law, fit_law


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPoint:
    """One recorded length."""

    timesteps: int
    step: Annotated[Cost, Meta(description="forward, loss and backward as one graph")]
    forward: Annotated[Cost, Meta(description="operations of the forward alone")]
    backward: Annotated[Cost, Meta(description="operations of the backward alone")]

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if self.timesteps < 1:
            raise ValueError("A length below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What recording one model brought; the rest follows from it."""

    model: str
    form: Annotated[str, Meta(description="how it was run: execution, loss, what was expanded")]
    batch_size: int
    timesteps: Annotated[int, Meta(description="T that the figures are for")]
    points: Annotated[
        tuple[DepthPoint, ...], Meta(description="all that were recorded, for the law")
    ]
    optimizer: Annotated[Cost | None, Meta(description="one update of Adam or the spec's own")]
    single: Annotated[
        DepthPoint | None, Meta(description="a sequence of one timestep; null where it cannot run")
    ]
    hidden_scans: Annotated[
        dict[str, int], Meta(description="operations at T that hide a chain, and how often")
    ]
    path: Annotated[
        tuple[OperationRun, ...], Meta(description="the longest chain at T, run-length coded")
    ]
    asked: Annotated[
        tuple[int, ...], Meta(description="lengths that were asked for; none in an older document")
    ] = ()
    chunk: Annotated[
        int | None, Meta(description="timesteps that the model takes at once, where it is known to")
    ] = None
    on_device: Annotated[
        Cost | None,
        Meta(
            description="a step at T by the operators of the accelerator at hand, which merge some "
            "of the others; null without one, or where they could not be recorded"
        ),
    ] = None
    real: Annotated[
        bool, Meta(description="counted in real steps: it does not run on shapes alone")
    ] = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What turns operations into time.

    Attributes:
        kernel_latency_s: time per dependent operation: from the start of one to that of the next.
        latency_source: ``given``, ``assumed`` or how it was measured.
        peak_flops: arithmetic per second that the device reaches at best; None where not known.
        peak_source: where it is from, or why it is not known.
    """

    kernel_latency_s: float
    latency_source: str
    peak_flops: float | None
    peak_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A number that follows from the graph and the assumptions, or null with the reason."""

    value: float | None
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What one more timestep adds, from T to T + 1."""

    timesteps: int
    work_ops: int
    depth_ops: int


_NOT_COUNTED = Law(text=None, reason="an older seqprof did not count it")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDepth:
    """Sequential depth of one model."""

    recorded: Recorded
    at: Annotated[DepthPoint, Meta(description="the costs at T")]
    depth_law: Law
    work_law: Law
    forward_depth_law: Law
    backward_depth_law: Law
    scans_law: Annotated[Law, Meta(description="of depth_ops_scans_as_log2")]
    one_more: Annotated[
        Difference | None, Meta(description="null where no two neighbouring lengths were recorded")
    ]
    within_timestep: Annotated[Derived, Meta(description="parallelism of one timestep alone")]
    across_timesteps: Annotated[Derived, Meta(description="timesteps under way at once")]
    latency_floor_s: Derived
    arithmetic_batch: Annotated[
        Derived, Meta(description="batch from which arithmetic takes longer than the floor")
    ]
    storage_law: Annotated[Law, Meta(description="of depth_ops_by_storage")] = _NOT_COUNTED
    forward_storage_law: Annotated[
        Law, Meta(description="of the forward's depth_ops_by_storage")
    ] = _NOT_COUNTED


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSummary:
    """What `seqprof depth` found."""

    models: tuple[ModelDepth, ...]
    assumptions: Assumptions


def derive(recorded: Recorded, assumptions: Assumptions) -> ModelDepth:
    """Fit the laws and derive times and parallelism."""
    points = {point.timesteps: point for point in recorded.points}
    at = points[recorded.timesteps]
    floor, one_more = _floor(recorded, at, assumptions), _one_more(points)

    def law(count: Callable[[DepthPoint], int]) -> Law:
        return fit_law({t: count(point) for t, point in points.items()}, recorded.chunk)

    return ModelDepth(
        recorded=recorded,
        at=at,
        depth_law=law(lambda p: p.step.depth_ops),
        work_law=law(lambda p: p.step.work_ops),
        forward_depth_law=law(lambda p: p.forward.depth_ops),
        backward_depth_law=law(lambda p: p.backward.depth_ops),
        scans_law=law(lambda p: p.step.depth_ops_scans_as_log2),
        one_more=one_more,
        within_timestep=_within(recorded),
        across_timesteps=_across(recorded, at, one_more),
        latency_floor_s=floor,
        arithmetic_batch=_arithmetic_batch(recorded, at, floor, assumptions),
        storage_law=law(lambda p: p.step.depth_ops_by_storage or 0),
        forward_storage_law=law(lambda p: p.forward.depth_ops_by_storage or 0),
    )


def _one_more(points: Mapping[int, DepthPoint]) -> Difference | None:
    """Take the longest pair of neighbours: short ones may hold ends of the sequence only."""
    neighbours = [t for t in points if t + 1 in points]
    if not neighbours:
        return None
    t = max(neighbours)
    before, after = points[t].step, points[t + 1].step
    return Difference(
        timesteps=t,
        work_ops=after.work_ops - before.work_ops,
        depth_ops=after.depth_ops - before.depth_ops,
    )


_SINGLE_FAILED = "the model cannot run on a sequence of one timestep"


def _within(recorded: Recorded) -> Derived:
    method = "work / depth of a sequence of one timestep"
    if recorded.single is None:
        return Derived(value=None, method=method, reason=_SINGLE_FAILED)
    return Derived(value=recorded.single.step.parallelism, method=method)


def _across(recorded: Recorded, at: DepthPoint, one_more: Difference | None) -> Derived:
    """About 1: one timestep after the other. L for L stacked layers, T where all go at once.

    The first timestep lacks links that later ones have (its gradients are added to nothing), so a
    timestep's own depth is the larger of the two ways to see it.
    """
    method = "T × own depth of a timestep (alone, or added by one more) / depth at T"
    if recorded.single is None:
        return Derived(value=None, method=method, reason=_SINGLE_FAILED)
    own = max(recorded.single.step.depth_ops, one_more.depth_ops if one_more else 0)
    return Derived(value=at.timesteps * own / at.step.depth_ops, method=method)


def _floor(recorded: Recorded, at: DepthPoint, assumptions: Assumptions) -> Derived:
    own = recorded.on_device
    depth = (own or at.step).depth_ops
    which = f"depth in the device's own operators ({depth:,})" if own else "depth"
    return Derived(
        value=depth * assumptions.kernel_latency_s,
        method=f"derived: {which} × {assumptions.kernel_latency_s * 1e6:g} µs per operation "
        f"({assumptions.latency_source})",
    )


def _arithmetic_batch(
    recorded: Recorded, at: DepthPoint, floor: Derived, assumptions: Assumptions
) -> Derived:
    method = (
        "derived: floor × peak / FLOPs of one sequence, all arithmetic at peak "
        f"({assumptions.peak_source})"
    )
    if assumptions.peak_flops is None:
        return Derived(value=None, method=method, reason=assumptions.peak_source)
    if not at.step.work_flops or floor.value is None:
        reason = "the model has no matrix product or convolution whose FLOPs are known"
        return Derived(value=None, method=method, reason=reason)
    each = at.step.work_flops / recorded.batch_size
    return Derived(value=floor.value * assumptions.peak_flops / each, method=method)


def as_sentence(run: OperationRun) -> str:
    """Write a run as ``512 × (addmm, sigmoid, mul)``."""
    names = ", ".join(_collapsed(run.names))
    if run.repeats == 1:
        return names
    return f"{run.repeats:,} × ({names})" if len(run.names) > 1 else f"{run.repeats:,} × {names}"


def _collapsed(names: Sequence[str]) -> list[str]:
    return [name.removesuffix("_").lstrip("_") or name for name in names]
