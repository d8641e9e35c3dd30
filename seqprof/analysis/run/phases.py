"""What a step takes, from bare steps, and where its time goes, from bounded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.run.dwell import DwellSummary
from seqprof.analysis.statistics import Estimate, estimate_median, median, missing
from seqprof.recording import PHASES, Clock, Phase, PhaseAccount, PhaseTiming, Step, StepKind, Trial

NO_BARE_STEP = "no bare step was measured"
NO_BOUNDED_STEP = "no step with phase boundaries was measured"
NO_METERED_STEP = "no step with CPU clocks at its phase boundaries was measured"


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


def headline_steps(trial: Trial) -> tuple[Step, ...]:
    """Return the steps whose times are the headline: bare ones.

    Before schema 3 every step had its phases bounded; there the bounded ones have to do.
    """
    return steps_of(trial, "bare") or steps_of(trial, "bounded")


def metered_steps(trial: Trial) -> tuple[Step, ...]:
    """Return the steps in which CPU time was read, and nothing marked."""
    return tuple(
        step
        for step in trial.steps
        if step.kind in ("metered", "bounded")
        and step.phases
        and all(timing.cpu_s is not None for timing in step.phases.values())
    )


def headline_method(trial: Trial) -> str:
    """Say which steps the headline is from."""
    return "median of bare steps" if steps_of(trial, "bare") else "median of bounded steps"


def headline_kind(step: Estimate) -> str:
    """Return which steps an estimate by :func:`headline_method` is from."""
    return "bounded" if "bounded" in step.method else "bare"


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
        [step.wall_s for step in headline_steps(trial)],
        unit="s",
        method=headline_method(trial),
        absent=NO_BARE_STEP,
    )


def throughput(trial: Trial) -> Estimate:
    """Return the timesteps trained per second; padding does not count where it is known.

    Its interval is that of the time per timestep, turned over: load makes times long, not rates.
    """
    steps = [step for step in headline_steps(trial) if step.positions and step.wall_s > 0.0]
    padding = any(step.padded_positions is None for step in steps)
    method = headline_method(trial) + (", padding included: not known" if padding else "")
    absent = "the computed timesteps were not counted" if trial.steps else NO_BARE_STEP
    rates = [step.trained_positions / step.wall_s for step in steps]
    rate = estimate_median(rates, unit="1/s", method=method, absent=absent)
    if rate.value is None or min(rates) <= 0.0:
        return rate
    each = estimate_median([1.0 / r for r in rates], unit="s", method=method, absent=absent)
    if each.low is None or each.high is None:
        return rate
    # The last digit may be lost in turning over; the value stays inside.
    low, high = min(1.0 / each.high, rate.value), max(1.0 / each.low, rate.value)
    return replace(rate, low=low, high=high)


def throughput_in_a_row(trial: Trial, dwells: Sequence[DwellSummary]) -> Estimate:
    """Return the timesteps trained per second where no step is waited for before the next.

    That is how training goes on an accelerator, whose queue a bare step finds empty.
    """
    method = "median of trained timesteps of a step / time per repetition in the step dwell"
    dwell = next((dwell for dwell in dwells if dwell.phase == "step"), None)
    if dwell is None or not dwell.per_repeat_s:
        reason = dwell.reason if dwell else "there was no dwell on the step"
        return missing("1/s", method, reason or "no repetition ended")
    trained = [step.trained_positions for step in headline_steps(trial) if step.positions]
    if not trained:
        return missing("1/s", method, "the computed timesteps were not counted")
    rate = median(trained) / dwell.per_repeat_s
    return Estimate(value=rate, unit="1/s", method=method, n=dwell.repeats)


def summarise_phases(trial: Trial, threads: int) -> tuple[PhaseSummary, ...]:
    """Return the phases in their order; those that no step has are left out."""
    bounded, metered = steps_of(trial, "bounded"), metered_steps(trial)
    accounts = {account.phase: account for account in trial.accounts}
    clock = phase_clock(trial)
    return tuple(
        _summarise(
            phase,
            clock,
            bounded,
            _timed_on_device(trial),
            _core_busy(phase, metered, threads),
            accounts.get(phase),
        )
        for phase in PHASES
        if any(phase in step.phases for step in bounded)
    )


def _timed_on_device(trial: Trial) -> tuple[Step, ...]:
    """Bounded steps; of a foreign loop the metered ones, which alone have events on the stream."""
    bounded = steps_of(trial, "bounded")
    timed = any(t.device_s is not None for step in bounded for t in step.phases.values())
    return bounded if timed else steps_of(trial, "metered")


def _summarise(
    phase: Phase,
    clock: Clock,
    bounded: Sequence[Step],
    on_device: Sequence[Step],
    core_busy: Estimate,
    account: PhaseAccount | None,
) -> PhaseSummary:
    timed = [(step, step.phases[phase]) for step in bounded if phase in step.phases]
    steps = on_device if clock == "device" else bounded
    times = [(s, phase_time(s.phases[phase], clock)) for s in steps if phase in s.phases]
    kind = "metered" if any(step.kind == "metered" for step in steps) else "bounded"
    method = f"median of {kind} steps, " + ("events on the stream" if clock == "device" else "host")
    absent = f"no {kind} step has a {clock} time of this phase"
    return PhaseSummary(
        phase=phase,
        clock=clock,
        time=estimate_median(
            [time for _, time in times if time is not None], unit="s", method=method, absent=absent
        ),
        share=estimate_median(
            [time / s.wall_s for s, time in times if time is not None and s.wall_s > 0.0],
            unit="1",
            method=f"median of phase / step, {kind} steps",
            absent=absent,
        ),
        host_time=estimate_median(
            [timing.host_s for _, timing in timed],
            unit="s",
            method="median of bounded steps, host",
            absent=NO_BOUNDED_STEP,
        ),
        core_busy_fraction=core_busy,
        operations=_operations(account),
        peak_memory=_peak_memory(account),
    )


def _core_busy(phase: Phase, metered: Sequence[Step], threads: int) -> Estimate:
    """Return process CPU time / (wall time x threads); a core that spins counts as busy."""
    timings = [step.phases[phase] for step in metered if phase in step.phases]
    return estimate_median(
        [
            timing.cpu_s / (timing.host_s * threads)
            for timing in timings
            if timing.host_s > 0.0 and timing.cpu_s is not None
        ],
        unit="1",
        method="process CPU time / (wall time x threads), median of metered steps",
        absent=NO_METERED_STEP,
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
