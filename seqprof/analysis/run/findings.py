"""Every quantity of one trial, before anything is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from seqprof.analysis.run.dwell import DwellSummary, summarise_dwells
from seqprof.analysis.run.idle import PhaseIdle, summarise_idle
from seqprof.analysis.run.launch_bound import LaunchBound, compare_clocks
from seqprof.analysis.run.marginal import MarginalCost, derive_marginal
from seqprof.analysis.run.mfu import model_flops_utilization
from seqprof.analysis.run.padding import padding_share
from seqprof.analysis.run.perturbation import (
    KindCost,
    Perturbation,
    costs_of_kinds,
    measure_perturbation,
)
from seqprof.analysis.run.phases import (
    PhaseSummary,
    headline_steps,
    step_time,
    steps_of,
    summarise_phases,
    throughput,
    throughput_in_a_row,
)
from seqprof.analysis.run.profile import ProfileSummary, summarise_profile
from seqprof.analysis.run.timesteps import (
    LoopLatency,
    PhaseBalance,
    balance_phases,
    summarise_loops,
)
from seqprof.analysis.statistics import Estimate, median
from seqprof.recording import DepthLaw, Environment, Recording, Trial, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLengths:
    """T of the steps as they came, over all micro-batches."""

    shortest: int
    median: float
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What was measured, where, and how often."""

    command: str
    created: str
    seed: Annotated[int | None, Meta(description="null where a script sets its own, or none")]
    environment: Environment
    workload: Workload
    shape: Annotated[
        dict[str, Any], Meta(description="the model's size as the spec gives it: hidden_size …")
    ]
    warmup_steps: int
    bare_steps: int
    probed_steps: int
    interrupted: bool
    lengths: Annotated[
        StepLengths | None, Meta(description="null where a recording has no T of its steps")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The quantities of one trial; each is defined in docs/metrics.md."""

    header: Header
    depth: Annotated[
        DepthLaw | None, Meta(description="sequential depth; null in an older recording")
    ] = None
    step: Annotated[Estimate, Meta(description="wall time of a bare step")]
    throughput: Annotated[Estimate, Meta(description="timesteps trained per second, no padding")]
    throughput_in_a_row: Annotated[
        Estimate, Meta(description="the same without waiting between steps; null without a dwell")
    ]
    phases: tuple[PhaseSummary, ...]
    loops: tuple[LoopLatency, ...]
    timesteps_reason: Annotated[
        str | None, Meta(description="why no timestep was marked; null if they were")
    ]
    balances: tuple[PhaseBalance, ...]
    launch_bound: tuple[LaunchBound, ...]
    perturbation: Perturbation
    step_costs: Annotated[
        tuple[KindCost, ...],
        Meta(description="what each kind of step costs against bare ones; empty before schema 3"),
    ] = ()
    marginal: tuple[MarginalCost, ...]
    dwells: tuple[DwellSummary, ...]
    idle: tuple[PhaseIdle, ...]
    padding: Estimate
    profile: Annotated[
        ProfileSummary | None, Meta(description="null in a recording older than this field")
    ] = None


def setting(spec: dict[str, Any], path: str) -> Any:
    """Return what the spec says at ``a.b.c``; None where it says nothing."""
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def find(recording: Recording, trial: Trial) -> Findings:
    """Derive every quantity of ``trial``."""
    environment = recording.environment
    step = step_time(trial)
    phases = summarise_phases(trial, environment.threads)
    dwells = summarise_dwells(trial, setting(recording.spec, "measure.dwell_samples"))
    utilization = model_flops_utilization(trial.workload, environment, step, mig=trial.samples.mig)
    idle = summarise_idle(
        phases,
        step,
        dwells,
        trial.samples,
        utilization,
        accelerator=environment.device.is_accelerator,
        profile=trial.profile,
    )
    return Findings(
        header=_header(recording, trial),
        depth=trial.depth,
        step=step,
        throughput=throughput(trial),
        throughput_in_a_row=throughput_in_a_row(trial, dwells),
        phases=phases,
        loops=summarise_loops(trial),
        timesteps_reason=trial.timesteps_reason,
        balances=balance_phases(trial),
        launch_bound=compare_clocks(trial, dwells, idle),
        perturbation=measure_perturbation(
            trial, setting(recording.spec, "measure.timesteps.budget")
        ),
        step_costs=costs_of_kinds(trial),
        marginal=derive_marginal(trial),
        dwells=dwells,
        idle=idle,
        padding=padding_share(trial),
        profile=summarise_profile(trial),
    )


#: Keys of the model that the header shows.
_SIZES = (
    "input_size", "hidden_size", "projection", "layers", "bidirectional", "dropout", "heads",
    "state_size", "transition", "chunk", "kernel_size",
)  # fmt: skip


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int, float))


def _header(recording: Recording, trial: Trial) -> Header:
    model = setting(recording.spec, "model") or {}
    shape = {key: model[key] for key in _SIZES if model.get(key)}
    if trial.workload.family is None:
        shape = {}
    elif model.get("config"):
        # A library's architecture has its sizes there, and ours are not used.
        shape = {key: value for key, value in model["config"].items() if _is_plain(value)}
    return Header(
        command=recording.command,
        created=recording.created,
        seed=recording.seed if trial.loop is None else None,
        environment=recording.environment,
        workload=trial.workload,
        shape=shape,
        warmup_steps=len(trial.warmup_wall_s),
        bare_steps=len(headline_steps(trial)),
        probed_steps=len(steps_of(trial, "probed")),
        interrupted=any(incident.kind == "interrupted" for incident in trial.incidents),
        lengths=_lengths(trial),
    )


def _lengths(trial: Trial) -> StepLengths | None:
    known = [timesteps for step in trial.steps for timesteps in step.timesteps]
    if not known:
        return None
    return StepLengths(shortest=min(known), median=median(known), longest=max(known))
