"""What was measured, and nothing else.

A :class:`Recording` is immutable. It is made by ``measure/``, saved and loaded by ``store.py`` and
turned into a :class:`~seqprof.analysis.run.summary.Summary` by pure functions. Everything is SI;
the unit stands in the field's name. A value that could not be measured is ``None`` and an
:class:`Incident` (or a ``reason`` beside it) says why.

Times called ``*_at_s`` are seconds on the host's monotonic clock since ``Trial.started_at_s = 0``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from seqprof.recorded_axis import HostSpan, IdleGap, Lane, TimeAxis
from seqprof.recorded_passes import (
    ActivityTotal,
    CountedDepth,
    DepthLaw,
    ForeignLoop,
    LoopIteration,
    ProfiledPass,
    ProfiledPhase,
    ProfiledTimesteps,
    RepeatedActivities,
)
from seqprof.recorded_samples import NO_SAMPLES, CallLatency, DeviceSamples, HostLoad, SampleSeries
from seqprof.recorded_steps import (
    PHASES,
    Clock,
    CompileFacts,
    LatencyMap,
    LoopFacts,
    LoopTiming,
    Phase,
    PhaseAccount,
    PhaseTiming,
    PrefixPoint,
    Step,
    StepKind,
    TimestepLatency,
    TimestepOperations,
    TimestepSamples,
)

__all__ = [
    "PHASES",
    "SCHEMA_VERSION",
    "ActivityTotal",
    "CallLatency",
    "Candidate",
    "Clock",
    "CompileFacts",
    "CountedDepth",
    "DepthLaw",
    "Device",
    "DeviceSamples",
    "Dwell",
    "Environment",
    "ForeignLoop",
    "HostLoad",
    "HostSpan",
    "IdleGap",
    "Incident",
    "Lane",
    "LatencyMap",
    "LoopFacts",
    "LoopIteration",
    "LoopTiming",
    "OperationCount",
    "Phase",
    "PhaseAccount",
    "PhaseTiming",
    "PrefixPoint",
    "ProfiledPass",
    "ProfiledPhase",
    "ProfiledTimesteps",
    "Rank",
    "Recording",
    "RepeatedActivities",
    "SampleSeries",
    "Step",
    "StepKind",
    "TimeAxis",
    "TimestepLatency",
    "TimestepOperations",
    "TimestepSamples",
    "Trial",
    "Workload",
]

#: Raised by one whenever a stored recording changes shape; `migrations.py` reads the older ones.
SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that trains. ``kind`` is torch's device type: ``cpu``, ``cuda``, ``xpu`` …"""

    kind: str
    name: str
    index: int | None = None
    uuid: Annotated[
        str | None, Meta(description="as NVML spells it (GPU-…); null without an accelerator")
    ] = None
    total_memory_bytes: int | None = None

    @property
    def is_accelerator(self) -> bool:
        return self.kind != "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where the measurement ran."""

    seqprof: str
    python: str
    torch: str
    platform: str
    cpu: str
    cores: Annotated[int, Meta(description="processors this process may run on")]
    threads: Annotated[int, Meta(description="threads torch may use within one operation")]
    device: Device
    commit: Annotated[
        str | None,
        Meta(description="git commit of the config's folder, '+' if changed; null if none"),
    ] = None
    driver: str | None = None
    monitor: Annotated[
        str | None, Meta(description="library that the device was watched by: NVML 13.595")
    ] = None
    fp32_precision: Annotated[
        dict[str, str],
        Meta(
            description="what fp32 means on a CUDA device: cuda.matmul, cudnn.conv, cudnn.rnn to "
            "ieee or tf32; empty elsewhere and in an older recording"
        ),
    ] = field(default_factory=dict)
    libraries: Annotated[dict[str, str], Meta(description="package name to version")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What was trained, as it was built."""

    model: Annotated[str, Meta(description="registry name or package.module:factory")]
    family: Annotated[str | None, Meta(description="registry name; null for a user's model")]
    execution: Annotated[str | None, Meta(description="cell or fused; null where it has no sense")]
    parameters: Annotated[int | None, Meta(description="null where it could not be built")]
    data: Annotated[str, Meta(description="where the batches come from, in words")]
    batch_size: Annotated[
        int | None, Meta(description="sequences; null in a script's loop where nothing tells it")
    ]
    timesteps: Annotated[
        int | None,
        Meta(
            description="T, length of the longest sequence of a batch; null in a script's loop "
            "where nothing tells it"
        ),
    ]
    precision: str
    optimizer: str
    micro_batches: Annotated[int, Meta(description="gradient accumulation: batches in a step")] = 1
    truncate: Annotated[
        int | None, Meta(description="truncated BPTT: timesteps per chunk; null when not truncated")
    ] = None
    checkpointed: bool = False
    compiled: bool = False
    flops_per_step: Annotated[
        int | None,
        Meta(description="analytic FLOPs of matrix products, forward and backward, in one step"),
    ] = None
    flops_reason: str | None = None
    flops_source: Annotated[
        Literal["formula", "counted"] | None,
        Meta(description="formula: the family's own; counted: torch's, in the counted step"),
    ] = None
    time_axis: Annotated[
        str | None,
        Meta(description="T and B of the first batch, where they are and from what that is known"),
    ] = None
    call: Annotated[str | None, Meta(description="how a user's model is called")] = None
    loss: Annotated[str | None, Meta(description="where the loss of a user's model is from")] = None

    @property
    def sizes(self) -> tuple[int, int]:
        """T and the batch size, 0 where one is not known: never of what seqprof itself builds."""
        return self.timesteps or 0, self.batch_size or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dwell:
    """One phase repeated alone until the device's slow counters have seen nothing else."""

    phase: Literal["forward", "backward", "step"]
    started_at_s: float
    ended_at_s: float
    repeats: int
    reason: Annotated[
        str | None, Meta(description="why it could not be done or was cut short; null if done")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happened and that a caveat must say (``run/caveats/incidents.py``)."""

    kind: Annotated[str, Meta(description="e.g. compile_failed, nvml_error, interrupted")]
    detail: str
    at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCount:
    """How often one tensor operation was launched in a counted step."""

    phase: Literal["forward", "backward"]
    name: Annotated[str, Meta(description="as torch dispatches it, aten::mm")]
    calls: int
    sliced: Annotated[
        int,
        Meta(description="of these, backwards of x[:, t]: a single timestep of a whole sequence"),
    ] = 0
    sliced_bytes: Annotated[
        int, Meta(description="that those filled, each a gradient as large as the sequence")
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthCount:
    """How many tensor operations one forward over so many timesteps launched."""

    timesteps: int
    operations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One workload, measured in one process."""

    workload: Workload
    warmup_wall_s: Annotated[
        tuple[float, ...], Meta(description="wall time of each warm-up step, the first one first")
    ]
    steps: tuple[Step, ...]
    clock_origin_ns: Annotated[
        int,
        Meta(
            description="the host's monotonic clock at second 0 of this trial, to align other logs"
        ),
    ] = 0
    cpu_clock: Annotated[
        Literal["threads", "process"],
        Meta(
            description="where cpu_s is from: each thread's clock, or the process's, which "
            "the system brings up to date every few milliseconds"
        ),
    ] = "threads"
    compile: Annotated[
        CompileFacts | None, Meta(description="null where compiling was not asked for, or failed")
    ] = None
    loops: Annotated[
        tuple[LoopFacts, ...], Meta(description="none in a recording older than this field")
    ] = ()
    timestep_samples: Annotated[
        tuple[TimestepSamples, ...],
        Meta(
            description="what latencies are derived from, anew whenever a recording is read; empty "
            "in an older recording, or where it would take over 5 MB"
        ),
    ] = ()
    latencies: tuple[TimestepLatency, ...] = ()
    latency_maps: Annotated[
        tuple[LatencyMap, ...], Meta(description="only where timestep_samples hold too much")
    ] = ()
    timesteps_reason: Annotated[
        str | None, Meta(description="why no timestep was marked; null if they were")
    ] = None
    mark_cost_s: Annotated[
        float | None,
        Meta(
            description="host time of one timestep's marks, measured apart; each backward latency "
            "contains about half of it, and each forward latency too when the stride is 1"
        ),
    ] = None
    operations: Annotated[
        tuple[OperationCount, ...],
        Meta(description="of the counted step; none in a `run` older than schema 3"),
    ] = ()
    operations_by_length: Annotated[
        tuple[LengthCount, ...],
        Meta(description="of two lengths, where it was asked whether operations grow with T"),
    ] = ()
    timestep_operations: tuple[TimestepOperations, ...] = ()
    unflattened: Annotated[
        tuple[str, ...],
        Meta(description="recurrent layers whose weights are not one piece of device memory"),
    ] = ()
    accounts: tuple[PhaseAccount, ...] = ()
    sweep: tuple[PrefixPoint, ...] = ()
    sweep_reason: str | None = None
    dwells: tuple[Dwell, ...] = ()
    samples: DeviceSamples = NO_SAMPLES
    host: HostLoad | None = None
    contended_rounds: Annotated[
        tuple[int, ...],
        Meta(
            description="rounds in which threads waited for a processor over a quarter of the "
            "time; none in a recording older than this field"
        ),
    ] = ()
    depth: Annotated[
        DepthLaw | None, Meta(description="null in a recording older than this field")
    ] = None
    profile: Annotated[
        ProfiledPass | None, Meta(description="null in a recording older than this field")
    ] = None
    incidents: tuple[Incident, ...] = ()
    loop: Annotated[
        ForeignLoop | None, Meta(description="null for a workload that seqprof built itself")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Which candidate a trial of `compare` or `scale` is of."""

    label: Annotated[str, Meta(description="as the user gave it")]
    spec: Annotated[dict[str, Any], Meta(description="its whole spec at this length and batch")]
    threads: Annotated[
        int | None, Meta(description="threads torch may use in its process; null if never started")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Which process of a distributed run this is."""

    rank: int = 0
    world_size: int = 1
    host: Annotated[str | None, Meta(description="name of its machine; null if not read")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One command's measurements."""

    kind: Literal["run", "compare", "scale"]
    created: Annotated[str, Meta(description="ISO 8601, UTC")]
    command: Annotated[str, Meta(description="as the user gave it")]
    spec: Annotated[dict[str, Any], Meta(description="the whole spec, defaults filled in")]
    seed: Annotated[int, Meta(description="0, and without meaning, where a script sets its own")]
    environment: Environment
    trials: tuple[Trial, ...]
    timer_resolution_s: float
    rank: Rank = Rank()
    candidates: Annotated[
        tuple[Candidate, ...],
        Meta(description="compare and scale: one for each trial; a step's `pair` is its round"),
    ] = ()
    baseline: Annotated[
        str | None, Meta(description="compare: label of the candidate that others are held against")
    ] = None
    matched: Annotated[
        Literal["width", "params", "flops"] | None,
        Meta(description="compare: what was made equal; null if nothing was"),
    ] = None
