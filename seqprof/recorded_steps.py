"""The parts of a recording that steps give: their phases, loops and timesteps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

Phase = Literal["data", "rollout", "forward", "loss", "backward", "optimizer", "other"]
#: The phases of a step, in their order. Only a foreign loop has a `rollout` (forwards without
#: gradients that training then learns from) and `other`: what lies in a step outside the phases.
PHASES: tuple[Phase, ...] = (
    "data", "rollout", "forward", "loss", "backward", "optimizer", "other",
)  # fmt: skip
#: bare: one clock read at each end, nothing inside. bounded: one clock read or event at each phase
#: boundary as well. probed: marks at timesteps as well. metered: CPU clocks at the boundaries.
StepKind = Literal["bare", "bounded", "probed", "metered"]
Clock = Literal["host", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTiming:
    """One phase of one step, summed over its micro-batches and chunks."""

    host_s: float
    cpu_s: Annotated[
        float | None,
        Meta(description="CPU time of all threads of the process; in metered steps only"),
    ] = None
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
    """One training step. Those of different kinds come in rounds, in an order that moves on."""

    pair: Annotated[int, Meta(description="round: the steps of one are held against each other")]
    kind: StepKind
    started_at_s: float
    wall_s: Annotated[
        float, Meta(description="from before the step to after it; on a device to its completion")
    ]
    timesteps: Annotated[
        tuple[int, ...],
        Meta(description="T of each micro-batch; empty in a recording older than this field"),
    ] = ()
    batch_sizes: Annotated[
        tuple[int, ...], Meta(description="sequences of each micro-batch, likewise")
    ] = ()
    held_bytes: Annotated[
        int | None,
        Meta(description="memory after the step: the allocator's on a device, else resident"),
    ] = None
    phases: Annotated[
        dict[str, PhaseTiming], Meta(description="empty in a bare step: nothing bounds them")
    ] = field(default_factory=dict)
    loops: tuple[LoopTiming, ...] = ()
    stride: Annotated[
        int | None, Meta(description="every k-th timestep was marked; null in a bare step")
    ] = None
    loss: float | None = None
    positions: Annotated[int, Meta(description="timesteps computed: batch x longest length")] = 0
    padded_positions: Annotated[
        int | None, Meta(description="of these, padding; null where that is not known")
    ] = 0

    @property
    def trained_positions(self) -> int:
        """Timesteps computed that are not known to be padding."""
        return self.positions - (self.padded_positions or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileFacts:
    """What Dynamo did until the model was warm; ``train.compile`` asks for it and no more."""

    graphs: Annotated[int, Meta(description="that were compiled, recompiled ones included")]
    operations: Annotated[int, Meta(description="captured in them")]
    graph_breaks: int
    recompilations: int
    seconds: Annotated[float | None, Meta(description="spent compiling; null if not known")]
    reasons: Annotated[
        tuple[str, ...], Meta(description="of breaks and recompilations, the first of each")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFacts:
    """A submodule that the model calls along the sequence, and how often."""

    loop: Annotated[str, Meta(description="names what is repeated; as in the latencies")]
    timesteps: Annotated[int, Meta(description="T of the forward that the counts are of")]
    calls: Annotated[int, Meta(description="of the submodule in that forward, all passes")]
    rule: Annotated[str, Meta(description="how calls follow the timesteps, in words")]
    positions: Annotated[int, Meta(description="spans that are timed in one pass")]
    timesteps_per_position: Annotated[
        int, Meta(description="timesteps of the data that one span handles; 1 as a rule")
    ] = 1
    calls_per_position: Annotated[int, Meta(description="calls that one span holds")] = 1
    by_call: Annotated[
        bool,
        Meta(description="each call is a span: which timestep one is of cannot be told"),
    ] = False
    turns: Annotated[
        tuple[str, ...], Meta(description="other submodules called between two of its calls")
    ] = ()
    passes: Annotated[int, Meta(description="how often it goes over the whole sequence")] = 1
    reverse: Annotated[bool, Meta(description="this one goes from the last timestep on")] = False
    read_from: Annotated[str, Meta(description="what told the order of its timesteps")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepSamples:
    """Latencies of the timesteps of one loop, as measured: quantiles and maps follow from them.

    Rows of sequences of any length; index = timestep (for a reversed loop too), or that of the span
    where one handles several; ``None`` where a timestep was not marked.
    """

    loop: str
    phase: Literal["forward", "backward"]
    clock: Clock
    reverse: Annotated[bool, Meta(description="the loop runs from t = T-1 to 0 in the forward")]
    pairs: Annotated[tuple[int, ...], Meta(description="pair of the probed step of each row")]
    rows: Annotated[
        tuple[tuple[float | None, ...], ...],
        Meta(description="[micro-batches of the probed steps, T], in seconds"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepLatency:
    """Latency of each timestep of one loop, as quantiles over the probed steps that have it.

    Arrays are as long as the longest sequence, index = timestep (for a reversed loop too); ``None``
    where a timestep was never marked. Where a span handles several timesteps, or is one call of
    uneven many (``LoopFacts``), the index is that of the span.
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
        Literal[
            "allocator",
            "resident_set",
            "allocator_after_operations",
            "resident_set_after_operations",
        ]
        | None,
        Meta(
            description="allocator: torch.accelerator's peak; resident_set: the process's VmHWM; "
            "after_operations: the most that either held at the end of any operation (a foreign "
            "loop, whose own peaks are not reset)"
        ),
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
