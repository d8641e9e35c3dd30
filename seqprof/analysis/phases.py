"""Where the time of a step goes: phases, from bare steps only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.statistics import Estimate, estimate_median, missing
from seqprof.recording import PHASES, Clock, Phase, PhaseAccount, PhaseTiming, Step, StepKind, Trial

NO_BARE_STEP = "no bare step was measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSummary:
    """One phase of a step."""

    phase: Phase
    clock: Annotated[Clock, Meta(description="the clock of `time`: device on an accelerator")]
    time: Estimate
    share: Annotated[Estimate, Meta(description="of the step's wall time")]
    host_time: Annotated[Estimate, Meta(description="what the thread that drives the step spends")]
    core_busy_fraction: Estimate
    operations: Estimate
    peak_memory: Estimate


def steps_of(trial: Trial, kind: StepKind) -> tuple[Step, ...]:
    """Return the steps of one kind, in order of time."""
    return tuple(step for step in trial.steps if step.kind == kind)


def phase_clock(trial: Trial) -> Clock:
    """Return ``device`` when the phases were timed on an accelerator's own clock, else ``host``."""
    timed = any(timing.device_s is not None for s in trial.steps for timing in s.phases.values())
    return "device" if timed else "host"


def phase_time(timing: PhaseTiming, clock: Clock) -> float | None:
    """Return what one phase took on ``clock``, in seconds."""
    return timing.host_s if clock == "host" else timing.device_s


def step_time(trial: Trial) -> Estimate:
    """Return the wall time of a bare step."""
    return estimate_median(
        [step.wall_s for step in steps_of(trial, "bare")],
        unit="s",
        method="median of bare steps",
        absent=NO_BARE_STEP,
    )


def throughput(trial: Trial) -> Estimate:
    """Return the timesteps trained per second (padding not counted), from bare steps."""
    rates = [
        (step.positions - step.padded_positions) / step.wall_s
        for step in steps_of(trial, "bare")
        if step.positions and step.wall_s > 0.0
    ]
    return estimate_median(
        rates,
        unit="1/s",
        method="median of bare steps",
        absent="the computed timesteps were not counted" if trial.steps else NO_BARE_STEP,
    )


def summarise_phases(trial: Trial, threads: int) -> tuple[PhaseSummary, ...]:
    """Return the phases in their order; those that no bare step has are left out."""
    bare = steps_of(trial, "bare")
    accounts = {account.phase: account for account in trial.accounts}
    clock = phase_clock(trial)
    return tuple(
        _summarise(phase, clock, bare, threads, accounts.get(phase))
        for phase in PHASES
        if any(phase in step.phases for step in bare)
    )


def _summarise(
    phase: Phase, clock: Clock, bare: Sequence[Step], threads: int, account: PhaseAccount | None
) -> PhaseSummary:
    timed = [(step, step.phases[phase]) for step in bare if phase in step.phases]
    times = [(step, phase_time(timing, clock)) for step, timing in timed]
    method = "median of bare steps, " + ("events on the stream" if clock == "device" else "host")
    absent = f"no bare step has a {clock} time of this phase"
    return PhaseSummary(
        phase=phase,
        clock=clock,
        time=estimate_median(
            [time for _, time in times if time is not None], unit="s", method=method, absent=absent
        ),
        share=estimate_median(
            [time / s.wall_s for s, time in times if time is not None and s.wall_s > 0.0],
            unit="1",
            method="median of phase / step, bare steps",
            absent=absent,
        ),
        host_time=estimate_median(
            [timing.host_s for _, timing in timed],
            unit="s",
            method="median of bare steps, host",
            absent=NO_BARE_STEP,
        ),
        core_busy_fraction=_core_busy([timing for _, timing in timed], threads),
        operations=_operations(account),
        peak_memory=_peak_memory(account),
    )


def _core_busy(timings: Sequence[PhaseTiming], threads: int) -> Estimate:
    """Return process CPU time / (wall time x threads); a core that spins counts as busy."""
    return estimate_median(
        [timing.cpu_s / (timing.host_s * threads) for timing in timings if timing.host_s > 0.0],
        unit="1",
        method="process CPU time / (wall time x threads), median of bare steps",
        absent=NO_BARE_STEP,
    )


def _operations(account: PhaseAccount | None) -> Estimate:
    method = "tensor operations launched, views excluded, counted in one step"
    if account is None or account.operations is None:
        return missing("1", method, _account_reason(account))
    return Estimate(value=account.operations, unit="1", method=method, n=1)


def _peak_memory(account: PhaseAccount | None) -> Estimate:
    if account is None or account.peak_memory_bytes is None:
        return missing("B", "peak memory", _account_reason(account))
    method = account.memory_method or "peak memory"
    return Estimate(value=account.peak_memory_bytes, unit="B", method=method, n=1)


def _account_reason(account: PhaseAccount | None) -> str:
    return (account.reason if account else None) or "not counted in this run"
