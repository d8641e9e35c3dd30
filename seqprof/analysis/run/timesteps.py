"""What each timestep costs, and whether the timesteps add up to their phase."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.run.phases import phase_time, steps_of
from seqprof.analysis.statistics import (
    Estimate,
    estimate_median,
    mean,
    median,
    median_absolute_deviation,
    missing,
)
from seqprof.analysis.stretches import profile, stretches
from seqprof.recording import Clock, LoopFacts, LoopTiming, Step, TimestepLatency, Trial

LoopPhase = Literal["forward", "backward"]

#: Most rows of a per-timestep table.
MOST_BINS = 12
#: A timestep is slow when nearly all of its measurements (its p05) lie beyond the median of all
#: timesteps by this many scaled median absolute deviations …
SLOW_DEVIATIONS = 6.0
#: … and beyond this multiple of it …
SLOW_RATIO = 1.25
#: … and it was measured at least this often: preemptions must not name a timestep.
SLOW_SAMPLES = 5
#: Most slow timesteps that are named.
MOST_SLOW = 5
#: Spans of loops that exceed their phase by this much overlap: one runs inside the other.
OVERLAP = 0.01
#: Half width of the 95 % interval of a median in interquartile ranges / sqrt(n)
#: (McGill, Tukey and Larsen 1978).
NOTCH = 1.57


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Some consecutive timesteps: the median of their p50, and of their p95, over the steps."""

    first: int
    last: int
    p50_s: float | None
    low_s: Annotated[float | None, Meta(description="interval of p50 (notch)")]
    high_s: float | None
    p95_s: float | None
    samples: Annotated[int, Meta(description="of the timestep measured least often")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowTimestep:
    """A timestep that stands out from the others in nearly every step (by its p05)."""

    timestep: int
    p50_s: float
    ratio: Annotated[float, Meta(description="p50 over the median of all timesteps")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLatency:
    """Per-timestep latency of one loop in one phase on one clock."""

    loop: str
    phase: LoopPhase
    clock: Clock
    reverse: bool
    timesteps: Annotated[int, Meta(description="spans that were timed: one a timestep as a rule")]
    timesteps_per_span: Annotated[
        int, Meta(description="timesteps of the data that one span handles")
    ] = 1
    counts: Annotated[
        LoopFacts | None, Meta(description="how often it is called; null in an older recording")
    ] = None
    per_timestep: Annotated[
        Estimate, Meta(description="what this loop costs for each timestep of the data")
    ]
    method: Literal["measured"]
    p50: Annotated[Estimate, Meta(description="median over timesteps of their median over steps")]
    p95: Annotated[Estimate, Meta(description="median over timesteps of their p95 over steps")]
    bins: tuple[Bin, ...]
    profile_s: Annotated[
        tuple[float | None, ...], Meta(description="means of p50 over equal stretches of timesteps")
    ]
    samples: Annotated[int, Meta(description="measurements of the least measured timestep")]
    slowest: Annotated[
        tuple[SlowTimestep, ...],
        Meta(description="empty below 5 measurements of each: too few to name one"),
    ]
    slow_timesteps: Annotated[int, Meta(description="how many stand out; the slowest are named")]
    sum_of_means: Estimate
    span: Annotated[Estimate, Meta(description="first mark to last mark, in the probed steps")]
    operations: Annotated[Estimate, Meta(description="tensor operations per timestep, median")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseBalance:
    """Timesteps against their phase: phase = loops + remainder, in each probed step.

    All are means over the probed steps, because means add up and medians do not.
    """

    phase: LoopPhase
    clock: Clock
    phase_time: Estimate
    loop_time: Annotated[Estimate, Meta(description="all loops of the phase")]
    remainder: Annotated[Estimate, Meta(description="what lies outside the loops")]


def summarise_loops(trial: Trial) -> tuple[LoopLatency, ...]:
    """Return one entry for each loop, phase and clock that the recording has."""
    return tuple(_summarise(latency, trial) for latency in trial.latencies)


def _summarise(latency: TimestepLatency, trial: Trial) -> LoopLatency:
    slow = slow_timesteps(latency)
    facts = next((loop for loop in trial.loops if loop.loop == latency.loop), None)
    p50 = _typical(latency.p50_s, "median over timesteps of p50 over steps")
    return LoopLatency(
        loop=latency.loop,
        phase=latency.phase,
        clock=latency.clock,
        reverse=latency.reverse,
        timesteps=len(latency.p50_s),
        timesteps_per_span=1 if facts is None else facts.timesteps_per_position,
        counts=facts,
        per_timestep=_per_timestep(latency, facts, trial, p50),
        method="measured",
        p50=p50,
        p95=_typical(latency.p95_s, "median over timesteps of p95 over steps"),
        bins=bins(latency),
        profile_s=profile(latency.p50_s),
        samples=min(latency.samples, default=0),
        slowest=slow[:MOST_SLOW],
        slow_timesteps=len(slow),
        sum_of_means=_sum_of_means(latency, trial),
        span=_span(latency, trial),
        operations=_operations(latency, trial),
    )


def _per_timestep(
    latency: TimestepLatency, facts: LoopFacts | None, trial: Trial, p50: Estimate
) -> Estimate:
    """A typical span for the timesteps that it handles; of uneven calls the whole loop for T."""
    if facts is None or p50.value is None:
        return p50
    if facts.by_call:
        return estimate_median(
            [seconds / sum(step.timesteps) for step, seconds in _spans(latency, trial)],
            unit="s",
            method="measured: the loop from its first mark to its last, for each timestep, median "
            "of probed steps",
            absent="no probed step has this loop",
        )
    if facts.timesteps_per_position == 1:
        return p50
    value = p50.value / facts.timesteps_per_position
    method = f"{p50.method}, for each of {facts.timesteps_per_position} timesteps"
    return Estimate(value=value, unit="s", method=method, n=p50.n)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _typical(values: Sequence[float | None], method: str) -> Estimate:
    return estimate_median(
        _known(values), unit="s", method=f"measured: {method}", absent="no timestep was marked"
    )


def bins(latency: TimestepLatency) -> tuple[Bin, ...]:
    """Return at most ``MOST_BINS`` rows that cover the sequence in order of the timestep."""
    return tuple(_bin(latency, part) for part in stretches(len(latency.p50_s), MOST_BINS))


def _bin(latency: TimestepLatency, part: range) -> Bin:
    p50, p95 = (_known([q[t] for t in part]) for q in (latency.p50_s, latency.p95_s))
    half = _notch(latency, part)
    centre = median(p50) if p50 else None
    bounded = centre is not None and half is not None
    return Bin(
        first=part[0],
        last=part[-1],
        p50_s=centre,
        low_s=centre - half if bounded and centre is not None and half is not None else None,
        high_s=centre + half if bounded and centre is not None and half is not None else None,
        p95_s=median(p95) if p95 else None,
        samples=min(latency.samples[t] for t in part),
    )


def _notch(latency: TimestepLatency, part: range) -> float | None:
    """Half width of the interval of a typical timestep's median; None where it is not known."""
    halves = []
    for t in part:
        low, high, n = latency.p25_s[t], latency.p75_s[t], latency.samples[t]
        if low is not None and high is not None and n > 1:
            halves.append(NOTCH * (high - low) / math.sqrt(n))
    return median(halves) if halves else None


def slow_timesteps(latency: TimestepLatency) -> tuple[SlowTimestep, ...]:
    """Return every timestep that stands out, the slowest first."""
    known = _known(latency.p50_s)
    if not known:
        return ()
    centre = median(known)
    spread = 1.4826 * median_absolute_deviation(known)
    limit = max(centre + SLOW_DEVIATIONS * spread, centre * SLOW_RATIO)
    slow = [
        SlowTimestep(timestep=t, p50_s=p50, ratio=p50 / centre)
        for t, (p05, p50) in enumerate(zip(latency.p05_s, latency.p50_s, strict=True))
        if p05 is not None and p50 is not None and p05 > limit
        if latency.samples[t] >= SLOW_SAMPLES
    ]
    return tuple(sorted(slow, key=lambda entry: -entry.p50_s))


def _sum_of_means(latency: TimestepLatency, trial: Trial) -> Estimate:
    known = _known(latency.mean_s)
    batches = trial.workload.micro_batches
    method = "sum over timesteps of their mean over probed steps" + (
        f", times {batches} micro-batches" if batches > 1 else ""
    )
    unmarked = len(latency.mean_s) - len(known)
    if not known and _known(latency.p50_s):
        return missing("s", method, "the recording is older than means of timesteps")
    if unmarked or not known:
        return missing(
            "s", method, f"{unmarked} of {len(latency.mean_s)} timesteps were not marked"
        )
    return Estimate(
        value=batches * math.fsum(known), unit="s", method=method, n=min(latency.samples)
    )


def _spans(latency: TimestepLatency, trial: Trial) -> Iterator[tuple[Step, float]]:
    """Yield the probed steps in which the loop was timed as a whole, with the seconds."""
    for step in steps_of(trial, "probed"):
        for loop in step.loops:
            if loop.loop == latency.loop and loop.phase == latency.phase:
                seconds = _loop_time(loop, latency.clock)
                if seconds is not None:
                    yield step, seconds


def _span(latency: TimestepLatency, trial: Trial) -> Estimate:
    return estimate_median(
        [seconds for _, seconds in _spans(latency, trial)],
        unit="s",
        method="median of probed steps",
        absent="no probed step has this loop",
    )


def _operations(latency: TimestepLatency, trial: Trial) -> Estimate:
    for counted in trial.timestep_operations:
        if (counted.loop, counted.phase) == (latency.loop, latency.phase) and counted.operations:
            return Estimate(
                value=median(counted.operations),
                unit="1",
                method="median over timesteps, counted in one step",
                n=len(counted.operations),
            )
    return missing("1", "median over timesteps", "not counted in this run")


def _loop_time(loop: LoopTiming, clock: Clock) -> float | None:
    return loop.host_s if clock == "host" else loop.device_s


def balance_phases(trial: Trial) -> tuple[PhaseBalance, ...]:
    """Return, for each phase and clock with timesteps, how they add up to the phase."""
    keys = dict.fromkeys((latency.phase, latency.clock) for latency in trial.latencies)
    return tuple(_balance(trial, phase, clock) for phase, clock in keys)


def _balance(trial: Trial, phase: LoopPhase, clock: Clock) -> PhaseBalance:
    totals = [total for step in steps_of(trial, "probed") if (total := _totals(step, phase, clock))]
    method, absent = "mean of probed steps", "no probed step has both the phase and its loops"
    overlap = any(loops > whole * (1.0 + OVERLAP) for whole, loops in totals)
    reason = "the loops overlap in time: one runs inside the other"

    def column(values: list[float]) -> Estimate:
        if not values:
            return missing("s", method, absent)
        return Estimate(value=mean(values), unit="s", method=method, n=len(values))

    return PhaseBalance(
        phase=phase,
        clock=clock,
        phase_time=column([whole for whole, _ in totals]),
        loop_time=missing("s", method, reason)
        if overlap
        else column([loops for _, loops in totals]),
        remainder=missing("s", method, reason)
        if overlap
        else column([whole - loops for whole, loops in totals]),
    )


def _totals(step: Step, phase: LoopPhase, clock: Clock) -> tuple[float, float] | None:
    """Return the time of the phase and of all its loops; None where either is not there."""
    whole = phase_time(step.phases[phase], clock) if phase in step.phases else None
    loops = [_loop_time(loop, clock) for loop in step.loops if loop.phase == phase]
    known = _known(loops)
    if whole is None or not loops or len(known) < len(loops):
        return None
    return whole, math.fsum(known)
