"""What was measured, and nothing else.

A :class:`Recording` is immutable. It is made by ``measure/``, saved and loaded by ``store.py`` and
turned into a :class:`~seqprof.analysis.summary.Summary` by pure functions. Everything is SI; the
unit stands in the field's name. A value that could not be measured is ``None`` and an
:class:`Incident` (or a ``reason`` beside it) says why.

Times called ``*_at_s`` are seconds on the host's monotonic clock since ``Trial.started_at_s = 0``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

#: Raised by one whenever a stored recording changes shape; `migrations.py` reads the older ones.
SCHEMA_VERSION = 2

Phase = Literal["data", "forward", "loss", "backward", "optimizer"]
#: The phases of a step, in their order.
PHASES: tuple[Phase, ...] = ("data", "forward", "loss", "backward", "optimizer")
StepKind = Literal["bare", "probed"]
Clock = Literal["host", "device"]


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
    nvml: Annotated[str | None, Meta(description="version of the NVML library")] = None
    libraries: Annotated[dict[str, str], Meta(description="package name to version")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What was trained, as it was built."""

    model: Annotated[str, Meta(description="registry name or package.module:factory")]
    family: Annotated[str | None, Meta(description="registry name; null for a user's model")]
    execution: Annotated[str | None, Meta(description="cell or fused; null where it has no sense")]
    parameters: int
    data: Annotated[str, Meta(description="where the batches come from, in words")]
    batch_size: int
    timesteps: Annotated[int, Meta(description="T, length of the longest sequence of a batch")]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTiming:
    """One phase of one step, summed over its micro-batches and chunks."""

    host_s: float
    cpu_s: Annotated[float, Meta(description="CPU time of all threads of the process")]
    device_s: Annotated[
        float | None, Meta(description="events on the device's stream; null without accelerator")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTiming:
    """The loop over timesteps inside one phase of one probed step: first mark to last mark."""

    loop: Annotated[str, Meta(description="path of the module that is called once per timestep")]
    phase: Literal["forward", "backward"]
    host_s: float
    device_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One training step. Steps come in pairs, one bare and one probed, in alternating order."""

    pair: int
    kind: StepKind
    started_at_s: float
    wall_s: Annotated[
        float, Meta(description="from the first phase to the last; on a device to its completion")
    ]
    phases: dict[str, PhaseTiming]
    loops: tuple[LoopTiming, ...] = ()
    stride: Annotated[
        int | None, Meta(description="every k-th timestep was marked; null in a bare step")
    ] = None
    loss: float | None = None
    positions: Annotated[int, Meta(description="timesteps computed: batch x longest length")] = 0
    padded_positions: Annotated[int, Meta(description="of these, padding")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepLatency:
    """Latency of each timestep of one loop, as quantiles over the probed steps.

    Arrays have length T, index = timestep (for a reversed loop too); ``None`` where a timestep
    was never marked.
    """

    loop: str
    phase: Literal["forward", "backward"]
    clock: Clock
    reverse: Annotated[bool, Meta(description="the loop runs from t = T-1 to 0 in the forward")]
    samples: Annotated[tuple[int, ...], Meta(description="measurements of each timestep")]
    mean_s: Annotated[
        tuple[float | None, ...], Meta(description="means add up to the loop; medians need not")
    ]
    p05_s: tuple[float | None, ...]
    p25_s: tuple[float | None, ...]
    p50_s: tuple[float | None, ...]
    p75_s: tuple[float | None, ...]
    p95_s: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMap:
    """Latency over the sequence in single probed steps: a sample of bounded size, to look at.

    The quantiles of :class:`TimestepLatency` are over all probed steps; this keeps some of the
    steps apart, neighbouring timesteps together.
    """

    loop: str
    phase: Literal["forward", "backward"]
    clock: Clock
    timesteps: int
    pairs: Annotated[
        tuple[int, ...], Meta(description="pair of the probed step of each row, ascending")
    ]
    starts: Annotated[
        tuple[int, ...], Meta(description="first timestep of each column; the last one ends at T")
    ]
    mean_s: Annotated[
        tuple[tuple[float | None, ...], ...],
        Meta(
            description="[rows, columns]: mean of those timesteps of the column that were marked "
            "in that step (with micro-batches: in all of them); null where none was"
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepOperations:
    """Tensor operations launched in each timestep of a loop, counted in one step of its own."""

    loop: str
    phase: Literal["forward", "backward"]
    operations: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseAccount:
    """What one accounted step launched and held in a phase (not timed: counting slows it)."""

    phase: Phase
    operations: Annotated[
        int | None, Meta(description="tensor operations launched, views excluded")
    ]
    peak_memory_bytes: int | None
    memory_method: Annotated[
        Literal["allocator", "resident_set"] | None,
        Meta(description="allocator: torch.accelerator's peak; resident_set: the process's VmHWM"),
    ]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixPoint:
    """One bare step over the first ``timesteps`` of the sequences."""

    round: int
    timesteps: int
    forward_s: float
    backward_s: float
    step_s: float


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
class SampleSeries:
    """Readings of one quantity that a sampler took beside the steps, in order of time."""

    metric: Annotated[
        str,
        Meta(
            description="nvml_utilization, nvml_memory_utilization, sm_active, sm_occupancy "
            "(ratios 0..1), memory_used_bytes, power_w, energy_j, sm_clock_hz, memory_clock_hz, "
            "temperature_c, clock_event_reasons (bit mask)"
        ),
    ]
    source: Annotated[str, Meta(description="the NVML call that gave it")]
    at_s: tuple[float, ...]
    value: tuple[float, ...]
    window_s: Annotated[
        float | None,
        Meta(description="each value covers this long before its time; null for a momentary one"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLatency:
    """How long a sampler's calls took."""

    call: str
    calls: int
    median_s: float
    maximum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSamples:
    """All that the device sampler brought home."""

    series: tuple[SampleSeries, ...] = ()
    latencies: tuple[CallLatency, ...] = ()
    mig: bool = False
    other_processes: Annotated[
        int | None, Meta(description="other processes on the device; null if not known")
    ] = None
    reason: Annotated[
        str | None, Meta(description="why there are no samples at all; null if there are")
    ] = None
    absent: Annotated[
        dict[str, str], Meta(description="metric to the reason why there are no readings of it")
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLoad:
    """The host over the measurement: differences of /proc counters."""

    window_s: float
    process_cpu_s: float
    machine_busy_s: Annotated[
        float | None, Meta(description="CPU time of all processes on all cores")
    ]
    steal_s: Annotated[
        float | None, Meta(description="CPU time that the hypervisor gave to others")
    ]
    involuntary_switches: int | None
    load_average_1m: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthLaw:
    """Sequential depth of one step (forward, loss, backward), from shapes alone: *derived*."""

    timesteps: int
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
    activities: Annotated[
        tuple[ActivityTotal, ...], Meta(description="the longest in total, at most 10")
    ] = ()
    launchless: Annotated[
        int, Meta(description="activities whose launch was not recorded, in the whole trace")
    ] = 0
    clock_error_s: Annotated[
        float | None, Meta(description="bound on what a timestep's mark is off in the trace")
    ] = None
    quality: Annotated[
        tuple[str, ...], Meta(description="defects of the trace and their effects")
    ] = ()
    reason: Annotated[
        str | None, Meta(description="why there is no profiled pass; null if there is one")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happened and that a caveat must tell. ``analysis/caveats.py`` words it."""

    kind: Annotated[str, Meta(description="e.g. compile_failed, nvml_error, interrupted")]
    detail: str
    at_s: float | None = None


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
    latencies: tuple[TimestepLatency, ...] = ()
    latency_maps: Annotated[
        tuple[LatencyMap, ...], Meta(description="none in a recording older than this field")
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
    timestep_operations: tuple[TimestepOperations, ...] = ()
    accounts: tuple[PhaseAccount, ...] = ()
    sweep: tuple[PrefixPoint, ...] = ()
    sweep_reason: str | None = None
    dwells: tuple[Dwell, ...] = ()
    samples: DeviceSamples = DeviceSamples()
    host: HostLoad | None = None
    depth: Annotated[
        DepthLaw | None, Meta(description="null in a recording older than this field")
    ] = None
    profile: Annotated[
        ProfiledPass | None, Meta(description="null in a recording older than this field")
    ] = None
    incidents: tuple[Incident, ...] = ()


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
class Candidate:
    """Which candidate a trial of `compare` or `scale` is of."""

    label: Annotated[str, Meta(description="as the user gave it")]
    spec: Annotated[dict[str, Any], Meta(description="its whole spec at this length and batch")]
    operations: tuple[OperationCount, ...] = ()
    unflattened: Annotated[
        tuple[str, ...],
        Meta(description="recurrent layers whose weights are not one piece of device memory"),
    ] = ()
    threads: Annotated[
        int | None, Meta(description="threads torch may use in its process; null if never started")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Which process of a distributed run this is."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One command's measurements."""

    kind: Literal["run", "compare", "scale"]
    created: Annotated[str, Meta(description="ISO 8601, UTC")]
    command: Annotated[str, Meta(description="as the user gave it")]
    spec: Annotated[dict[str, Any], Meta(description="the whole spec, defaults filled in")]
    seed: int
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
