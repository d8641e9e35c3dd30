"""The parts of a recording that passes of their own give: depth, profiler, a foreign loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.recorded_axis import TimeAxis


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDepth:
    """Operations counted on shapes alone at several lengths: what a law of depth follows from."""

    lengths: tuple[int, ...]
    depth_ops: Annotated[tuple[int, ...], Meta(description="on the longest chain, by length")]
    work_ops: Annotated[tuple[int, ...], Meta(description="in all, by length")]
    batch_size: int
    chunk: Annotated[
        int | None, Meta(description="timesteps that the model takes at once, where it is known to")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthLaw:
    """Sequential depth of one step: forward, loss, backward. From shapes alone it is *derived*."""

    timesteps: int | None
    depth_ops: Annotated[
        int | None,
        Meta(description="operations on the longest chain, each consuming the previous one's"),
    ] = None
    work_ops: Annotated[int | None, Meta(description="operations in all, views excluded")] = None
    law: Annotated[
        str | None, Meta(description="exact depth over T, as in 15·T + 20; null if none was found")
    ] = None
    coefficients: Annotated[
        dict[str, float], Meta(description="term of the law to its coefficient")
    ] = field(default_factory=dict)
    lengths: Annotated[
        tuple[int, ...], Meta(description="the T that were recorded; others follow from the law")
    ] = ()
    batch_size: Annotated[
        int | None, Meta(description="that was recorded with; null in an older recording")
    ] = None
    reason: Annotated[
        str | None, Meta(description="why there is no law, or why it says nothing at this T")
    ] = None
    source: Annotated[
        Literal["shapes", "step"],
        Meta(description="shapes: derived without running; step: counted in real steps"),
    ] = "shapes"
    counted: Annotated[
        CountedDepth | None,
        Meta(
            description="what the rest is derived from, anew whenever a recording is read; null in "
            "an older recording, or where nothing could be counted"
        ),
    ] = None

    @property
    def method(self) -> str:
        """How the operations were counted, in words."""
        if self.source == "shapes":
            return "derived from shapes alone"
        return "counted in one step" if self.counted is None else "counted in real steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledPhase:
    """One phase (or `step`) on the device in the profiled pass, mean per step."""

    phase: str
    window_s: Annotated[
        float, Meta(description="device windows of the phases tile the step; see docs/metrics.md")
    ]
    busy_s: Annotated[float, Meta(description="union of all activities on all streams")]
    idle_s: float
    activities: Annotated[float, Meta(description="kernels, copies and memsets; or operators")]
    idle_by_cause_s: Annotated[
        dict[str, float],
        Meta(description="launch, sync, data, communication, dependency, unknown: they add up"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledTimesteps:
    """Each timestep of one loop in the profiled pass: mean per call; index = timestep.

    An activity belongs to the timestep in whose host window it was launched. Busy and idle are
    those of the timestep's device window. ``None`` where a timestep was not marked.
    """

    loop: str
    phase: Literal["forward", "backward"]
    activities: tuple[float | None, ...]
    busy_s: tuple[float | None, ...]
    idle_s: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedActivities:
    """A loop over timesteps that no module marks: activities that repeat in a phase."""

    phase: str
    repeats: Annotated[int, Meta(description="T, as far as it shows")]
    period: Annotated[int, Meta(description="activities of one repeat")]
    latency_s: Annotated[
        tuple[float, ...],
        Meta(description="from a repeat's first activity to the next one's, in a profiled step"),
    ]
    evidence: Annotated[str, Meta(description="what says that it is a loop over timesteps")]
    loops: Annotated[
        int,
        Meta(description="so many of this length, layers or directions; latency_s is of the first"),
    ] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityTotal:
    """All runs of one kernel (or operator), per step; ``share`` is of all durations."""

    name: str
    calls: float
    total_s: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledPass:
    """A few steps under torch.profiler, beside the unprofiled ones, and what its trace says."""

    on: Annotated[
        Literal["device", "processor"],
        Meta(description="processor: operators stand in for kernels; this is not device time"),
    ]
    steps: Annotated[int, Meta(description="steps that the figures are means of")] = 0
    wall_s: Annotated[
        tuple[float, ...], Meta(description="wall time of each profiled step, slowed as it is")
    ] = ()
    whole: ProfiledPhase | None = None
    phases: tuple[ProfiledPhase, ...] = ()
    timesteps: tuple[ProfiledTimesteps, ...] = ()
    timesteps_reason: Annotated[
        str | None, Meta(description="why there are none; null if there are")
    ] = None
    recurrences: Annotated[
        tuple[RepeatedActivities, ...],
        Meta(description="loops that no module marks; in the profiled steps, slowed as they are"),
    ] = ()
    activities: Annotated[
        tuple[ActivityTotal, ...], Meta(description="the longest in total, at most 10")
    ] = ()
    launchless: Annotated[
        int, Meta(description="activities whose launch was not recorded, in the whole trace")
    ] = 0
    clock_error_s: Annotated[
        float | None, Meta(description="bound on what a timestep's mark is off in the trace")
    ] = None
    stopped_s: Annotated[
        float | None,
        Meta(description="that long a foreign loop stood still then, while the trace was written"),
    ] = None
    axis: Annotated[
        TimeAxis | None, Meta(description="all of it over time; null in an older recording")
    ] = None
    quality: Annotated[
        tuple[str, ...], Meta(description="defects of the trace and their effects")
    ] = ()
    reason: Annotated[
        str | None, Meta(description="why there is no profiled pass; null if there is one")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopIteration:
    """One iteration of a foreign loop, also of its warm-up."""

    index: Annotated[int, Meta(description="from 0, the first that was seen")]
    kind: Literal["warmup", "bounded", "probed", "metered", "profiled"]
    started_at_s: float
    wall_s: Annotated[float, Meta(description="sum of its phases; evaluation is not in it")]
    phases_s: dict[str, float]
    rounds: Annotated[
        int, Meta(description="forward/backward rounds: micro-batches, calls of a closure")
    ] = 1
    timesteps: Annotated[
        tuple[int, ...], Meta(description="T of each forward that trains; empty if not known")
    ] = ()
    batch_sizes: tuple[int, ...] = ()
    updates: Annotated[int, Meta(description="optimizer steps that took effect")] = 0
    skipped: Annotated[int, Meta(description="optimizer steps that a GradScaler refused")] = 0
    evaluation_s: Annotated[float, Meta(description="evaluation between its parts or after")] = 0.0
    finished: Annotated[bool, Meta(description="false if the script ended or failed in it")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLoop:
    """A training loop that seqprof did not write: what it is made of and what was seen of it."""

    boundary: Annotated[
        Literal["fetch", "optimizer", "backward", "forward", "step"],
        Meta(description="an iteration lasts from one of these to the next; step: as it was said"),
    ]
    iterations: tuple[LoopIteration, ...]
    roots: Annotated[
        tuple[str, ...], Meta(description="classes of the modules that the script calls")
    ] = ()
    optimizers: tuple[str, ...] = ()
    loaders: Annotated[tuple[str, ...], Meta(description="classes of the datasets loaded")] = ()
    timestep_modules: Annotated[
        tuple[str, ...], Meta(description="called once (or a few times) a timestep")
    ] = ()
    timesteps_source: Annotated[
        str | None, Meta(description="where T of a step was read; null if T is not known")
    ] = None
    evaluation_batches: Annotated[
        int, Meta(description="forwards without gradients outside of steps")
    ] = 0
    rollout_forwards: int = 0
    compiled: bool = False
    unknown: Annotated[
        tuple[str, ...], Meta(description="what could not be told, each with the reason")
    ] = ()
    ended: Annotated[
        str, Meta(description="complete: the window's; else how the script or the watching ended")
    ] = "complete"
    exit_code: int | None = None
    window: Annotated[
        int, Meta(description="which of the windows of `--every`, from 1; 1 where there is one")
    ] = 1
    steps_before: Annotated[
        int, Meta(description="steps of the loop before this window, those of others included")
    ] = 0
