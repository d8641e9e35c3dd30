"""How much what is recorded in a step slows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.run.phases import steps_of
from seqprof.analysis.statistics import (
    Estimate,
    estimate_median,
    median,
    missing,
    paired_change,
)
from seqprof.recording import StepKind, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """Probed against bare steps of the same pair."""

    change: Annotated[Estimate, Meta(description="median of the paired ratios probed/bare, less 1")]
    budget: float | None
    strides: Annotated[
        tuple[int, ...], Meta(description="every k-th timestep was marked; each k that was used")
    ]
    mark_cost: Annotated[
        Estimate,
        Meta(
            description="host time of one timestep's marks; half lies in each backward "
            "latency, and with a stride of 1 in each forward latency"
        ),
    ]

    @property
    def over_budget(self) -> bool:
        """Whether the whole interval lies above the budget; without one nothing is claimed."""
        low = self.change.low
        return self.budget is not None and low is not None and low > self.budget


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCost:
    """What a kind of step takes longer than a bare one."""

    kind: Annotated[StepKind, Meta(description="bounded, probed or metered")]
    change: Annotated[Estimate, Meta(description="median of the paired ratios to bare, less 1")]
    added: Annotated[Estimate, Meta(description="seconds, median of the paired differences")]


def costs_of_kinds(trial: Trial) -> tuple[KindCost, ...]:
    """Return what each kind of step costs against bare ones.

    Empty for a recording older than bare steps.
    """
    if not steps_of(trial, "bare"):
        return ()
    kinds: tuple[StepKind, ...] = ("bounded", "probed", "metered")
    return tuple(_cost(kind, trial) for kind in kinds if steps_of(trial, kind))


def _walls(trial: Trial, kind: StepKind) -> dict[int, float]:
    """The time of each round's steps of a kind: their median."""
    walls: dict[int, list[float]] = {}
    for step in steps_of(trial, kind):
        walls.setdefault(step.pair, []).append(step.wall_s)
    return {round_: median(values) for round_, values in walls.items()}


def _pairs(trial: Trial, kind: StepKind, base: StepKind) -> tuple[list[float], list[float]]:
    """Return the times of a kind and of ``base``, of like with like.

    Pairs are of one round; where T varies by itself, each step is held against the median of the
    base's steps over sequences as long as its own.
    """
    if len({step.timesteps for step in trial.steps}) <= 1:
        times, against = _walls(trial, kind), _walls(trial, base)
        both = sorted(times.keys() & against.keys())
        return [times[round_] for round_ in both], [against[round_] for round_ in both]
    by_length: dict[tuple[int, ...], list[float]] = {}
    for step in steps_of(trial, base):
        by_length.setdefault(step.timesteps, []).append(step.wall_s)
    alike = [step for step in steps_of(trial, kind) if step.timesteps in by_length]
    return [step.wall_s for step in alike], [median(by_length[step.timesteps]) for step in alike]


def _cost(kind: StepKind, trial: Trial) -> KindCost:
    times, bare = _pairs(trial, kind, "bare")
    absent = f"no round has both a bare and a {kind} step"
    return KindCost(
        kind=kind,
        change=paired_change(
            times, bare, method=f"median of paired ratios {kind}/bare, less 1", absent=absent
        ),
        added=estimate_median(
            [time - against for time, against in zip(times, bare, strict=True)],
            unit="s",
            method=f"median of paired differences {kind} - bare",
            absent=absent,
        ),
    )


def measure_perturbation(trial: Trial, budget: float | None) -> Perturbation:
    """Return the perturbation over the rounds that have both a bare and a probed step.

    Before schema 3 there is none that is bare: against the bounded ones then.
    """
    base: StepKind = "bare" if steps_of(trial, "bare") else "bounded"
    strides = sorted({step.stride for step in trial.steps if step.stride is not None})
    # Without a mark in it, a probed step is a bare one, and the ratio says nothing about marks.
    probed, against = _pairs(trial, "probed", base) if strides else ([], [])
    return Perturbation(
        change=paired_change(
            probed,
            against,
            method=f"median of paired ratios probed/{base}, less 1",
            absent=trial.timesteps_reason
            or f"no pair of a {base if trial.loop is not None else 'bare'} and a probed step was "
            "measured",
        ),
        budget=budget,
        strides=tuple(strides),
        mark_cost=_mark_cost(trial),
    )


def _mark_cost(trial: Trial) -> Estimate:
    method = "measured apart, before the pairs"
    if trial.mark_cost_s is None:
        return missing("s", method, trial.timesteps_reason or "it was not measured")
    return Estimate(value=trial.mark_cost_s, unit="s", method=method)
