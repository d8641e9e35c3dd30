"""What a bench is asked to do and what it answers: in one process by a call, else over a pipe.

Plain data without torch, so that the parent of workers needs none. The type of a request names
what comes back: ``Request[A]`` is answered by an ``A``, or by a
:class:`~seqprof.measure.faults.Failure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from seqprof.recording import (
    CompileFacts,
    DepthLaw,
    DeviceSamples,
    Dwell,
    Environment,
    HostLoad,
    Incident,
    LengthCount,
    LoopFacts,
    OperationCount,
    PhaseAccount,
    PrefixPoint,
    Step,
    TimestepOperations,
    TimestepSamples,
    Workload,
)
from seqprof.spec import Spec

Answer = TypeVar("Answer")
#: Timesteps and batch size: which point of a candidate is meant.
Key = tuple[int, int]
DwellPhase = Literal["forward", "backward", "step"]


# Answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model that is warm, whose loops are known and one step of which was counted."""

    workload: Workload
    environment: Environment
    timer_resolution_s: float
    warmup_wall_s: tuple[float, ...]
    accounts: tuple[PhaseAccount, ...] = ()
    operations: tuple[OperationCount, ...] = ()
    operations_by_length: tuple[LengthCount, ...] = ()
    timestep_operations: tuple[TimestepOperations, ...] = ()
    timesteps_reason: str | None = None
    loops: tuple[LoopFacts, ...] = ()
    compile: CompileFacts | None = None
    unflattened: tuple[str, ...] = ()
    host: HostLoad | None = None
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsTaken:
    """Steps of one round; ``settling_s`` are those run before them, untimed in the result."""

    steps: tuple[Step, ...]
    cpu_clock: Literal["threads", "process"]
    settling_s: tuple[float, ...] = ()
    host: HostLoad | None = None
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestepsTaken:
    """What the marks of all probed steps came to."""

    samples: tuple[TimestepSamples, ...] = ()
    mark_cost_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """Steps over prefixes of the sequences, or why there are none."""

    points: tuple[PrefixPoint, ...] = ()
    reason: str | None = None
    incidents: tuple[Incident, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dwelt:
    """Phases repeated alone, and what the sampler beside them brought home."""

    dwells: tuple[Dwell, ...] = ()
    samples: DeviceSamples = field(default_factory=DeviceSamples)
    incidents: tuple[Incident, ...] = ()


# Requests -------------------------------------------------------------------------------------


class Request(Generic[Answer]):
    """What a worker is asked; ``Answer`` is the type of what it answers."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Describe(Request[Workload]):
    """Build a model and its data only to say what they are."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class Prepare(Request[Prepared]):
    """Build, warm up, find the loops (where ``timesteps``) and count one step of a point."""

    key: Key
    spec: Spec
    timesteps: bool = False


@dataclass(frozen=True, slots=True)
class TakeSteps(Request[StepsTaken]):
    """Take the steps of one round: so many of each kind."""

    key: Key
    round: int
    steps: int


@dataclass(frozen=True, slots=True)
class TakeTimesteps(Request[TimestepsTaken]):
    """Give what the marks came to."""

    key: Key


@dataclass(frozen=True, slots=True)
class TakeSweep(Request[Swept]):
    """Take prefixes of the sequences, for the marginal cost; begin no round after ``limit_s``."""

    key: Key
    limit_s: float


@dataclass(frozen=True, slots=True)
class TakeDwells(Request[Dwelt]):
    """Repeat phases alone for the device's slow counters; nothing without an accelerator."""

    key: Key
    phases: Sequence[DwellPhase]


@dataclass(frozen=True, slots=True)
class DeriveDepths(Request[tuple[DepthLaw, ...]]):
    """Derive the sequential depth at the T of each point, recorded with the first's batch size."""

    keys: Sequence[Key]
