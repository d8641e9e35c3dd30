"""What a worker answers. Plain data, so that the parent needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqprof.recording import (
    DeviceSamples,
    Dwell,
    Environment,
    HostLoad,
    Incident,
    OperationCount,
    PhaseAccount,
    Step,
    Workload,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A point that is warm and counted."""

    workload: Workload
    environment: Environment
    warmup_wall_s: tuple[float, ...]
    accounts: tuple[PhaseAccount, ...]
    operations: tuple[OperationCount, ...]
    unflattened: tuple[str, ...]
    incidents: tuple[Incident, ...]
    timer_resolution_s: float


@dataclass(frozen=True, slots=True)
class Visit:
    """Steps of one round."""

    steps: tuple[Step, ...]
    settling_s: tuple[float, ...]
    cpu_clock: Literal["threads", "process"]
    host: HostLoad
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True)
class Dwelt:
    """What the device's slow counters told."""

    dwells: tuple[Dwell, ...]
    samples: DeviceSamples
    incidents: tuple[Incident, ...]


FailureKind = Literal["out_of_memory", "step_failed", "hung"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one point."""

    kind: FailureKind
    detail: str
    workload: Workload | None = None
