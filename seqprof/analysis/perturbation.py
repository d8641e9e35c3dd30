"""How much the timestep marks slow a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.statistics import Estimate, missing, paired_change
from seqprof.recording import Trial


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


def measure_perturbation(trial: Trial, budget: float | None) -> Perturbation:
    """Return the perturbation over the pairs that have both a bare and a probed step."""
    walls = {(step.pair, step.kind): step.wall_s for step in trial.steps}
    pairs = sorted({step.pair for step in trial.steps})
    complete = [pair for pair in pairs if (pair, "bare") in walls and (pair, "probed") in walls]
    strides = sorted({step.stride for step in trial.steps if step.stride is not None})
    # Without a mark in it, a probed step is a bare one, and the ratio says nothing about marks.
    marked = complete if strides else []
    return Perturbation(
        change=paired_change(
            [walls[pair, "probed"] for pair in marked],
            [walls[pair, "bare"] for pair in marked],
            method="median of paired ratios probed/bare, less 1",
            absent=trial.timesteps_reason or "no pair of a bare and a probed step was measured",
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
