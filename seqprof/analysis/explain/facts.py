"""What `seqprof explain` measured, as it is stored: facts; the verdicts are derived anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.depth.model_depth import Assumptions, ModelDepth
from seqprof.recording import Clock, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTimesteps:
    """The forward's operations over the first timesteps, as recorded on shapes alone."""

    timesteps: int
    names: tuple[str, ...]
    sources: Annotated[
        tuple[tuple[int, ...], ...], Meta(description="earlier operations that each one reads")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Which outputs changed when the input of one timestep was changed."""

    timestep: Annotated[int, Meta(description="whose input was changed")]
    changed: Annotated[tuple[int, ...], Meta(description="timesteps whose outputs changed")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """How changes of single inputs go through a model: eval mode, float64, on the CPU."""

    timesteps: int
    effects: tuple[Effect, ...] = ()
    reason: Annotated[str | None, Meta(description="why it was not tried; null if it was")] = None
    gradient_reaches: Annotated[
        tuple[int, ...] | None,
        Meta(description="timesteps that the gradient of the last output reaches"),
    ] = None
    gradient_reason: Annotated[
        str | None, Meta(description="why that was not tried; null if it was")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """When each timestep ran in one training step, in seconds from the step's start."""

    clock: Annotated[
        Clock,
        Meta(description="by the host's clock, or by events of the device; host in older files"),
    ] = "host"
    module: Annotated[str | None, Meta(description="called once per timestep")] = None
    forward_s: Annotated[
        tuple[tuple[float, float], ...], Meta(description="start and end of each timestep")
    ] = ()
    gradient_s: Annotated[
        tuple[float | None, ...],
        Meta(description="when the gradient of each timestep's output came; null: never"),
    ] = ()
    backward_at_s: Annotated[float, Meta(description="when the backward pass began")] = 0.0
    ended_at_s: float = 0.0
    reason: Annotated[str | None, Meta(description="why there is none; null if there is")] = None

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if len(self.gradient_s) != len(self.forward_s):
            raise ValueError("`gradient_s` has another number of timesteps than `forward_s`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """A large matrix product on the same device, between the rounds: what it really reaches."""

    size: Annotated[int, Meta(description="of both square matrices")]
    precision: str
    seconds: Annotated[tuple[float, ...], Meta(description="of each repeat")] = ()
    at_s: Annotated[
        tuple[float, ...], Meta(description="when each ended, by the clock of the rounds")
    ] = ()
    reason: Annotated[str | None, Meta(description="why it was not measured")] = None

    @property
    def flops(self) -> tuple[float, ...]:
        """FLOP/s of each repeat."""
        return tuple(2.0 * self.size**3 / taken for taken in self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjected:
    """What was found of one candidate besides its times."""

    label: str
    depth: ModelDepth | None = None
    depth_reason: str | None = None
    first: FirstTimesteps | None = None
    influence: Influence = Influence(timesteps=0, reason="not reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainFacts:
    """All of it. The first candidate is the one that the argument is about.

    Attributes:
        scaling: times of all candidates over T and the batch; None where none were measured.
        run: the first candidate with its timesteps marked.
        base: T and batch size at which candidates are held against each other.
        ended: what ended the measuring early; None where nothing did.
        load_average_1m, cores: of the machine, when the measuring had ended; None where not known.
    """

    command: str
    created: str
    budget_s: float
    base: tuple[int, int]
    candidates: tuple[Subjected, ...]
    assumptions: Assumptions
    reachable: Reachable
    cascade: Cascade
    scaling: Recording | None
    scaling_reason: str | None = None
    run: Recording | None = None
    run_reason: str | None = None
    grid_reason: Annotated[
        str | None, Meta(description="why no other lengths and batches were measured")
    ] = None
    ended: str | None = None
    load_average_1m: float | None = None
    cores: int | None = None
