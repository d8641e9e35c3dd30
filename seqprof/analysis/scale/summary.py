"""What a scaling comes to, as data: its points, how cost grows, and where models cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.idle import IdleSource
from seqprof.analysis.scale.crossover import Crossover
from seqprof.analysis.scale.growth import Growth, Saturation
from seqprof.analysis.statistics import Estimate
from seqprof.recording import DepthLaw, Environment

Phase = Literal["forward", "backward", "step"]
#: What models are held against each other in.
Measure = Literal["step", "peak_memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate at one length and batch size."""

    label: str
    timesteps: int
    batch_size: int
    failed: Annotated[str | None, Meta(description="why there are no times; null if there are")]
    step: Estimate
    forward: Estimate
    backward: Estimate
    peak_memory: Estimate
    busy: Annotated[Estimate, Meta(description="share of the step; of what, busy_source tells")]
    busy_source: IdleSource
    depth: Annotated[DepthLaw | None, Meta(description="null in a recording older than this field")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthGrowth:
    """How one candidate's cost grows with T at one batch size (or at constant tokens)."""

    label: str
    batch_size: Annotated[int | None, Meta(description="null where batch x T is constant")]
    phase: Phase
    growth: Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGrowth:
    """How one candidate's step grows with the batch at one length."""

    label: str
    timesteps: int
    growth: Growth
    saturation: Saturation


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where two candidates cost the same."""

    first: str
    second: str
    batch_size: int | None
    quantity: Measure
    crossover: Crossover


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledSummary:
    """A whole scaling."""

    command: str
    created: str
    seed: int
    environment: Environment
    points: tuple[Point, ...]
    lengths: tuple[LengthGrowth, ...]
    batches: tuple[BatchGrowth, ...]
    crossovers: tuple[Meeting, ...]
    caveats: tuple[Caveat, ...]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]
