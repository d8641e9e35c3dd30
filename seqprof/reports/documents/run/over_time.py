"""Plots over the time of a run, with its steps, their phases and its dwells behind the curves."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.recording import PHASES, Trial
from seqprof.reports.plots import Backdrop, Curve, Lines, StepPhases

#: Points of one curve; of more, every k-th is drawn.
MOST_POINTS = 5_000
#: Steps whose phases are drawn behind the curves.
_MOST_STEPS = 2_000


def over_time(
    times: Sequence[float], curves: Sequence[Curve], yname: str, unit: str, trial: Trial
) -> Lines:
    """Return curves over time with the trial's steps and dwells behind."""
    return Lines(
        x=times,
        xname="seconds since the run began",
        yname=yname.lower(),
        unit=unit,
        curves=curves,
        backdrops=_backdrops(trial),
        steps=_phases(trial),
    )


def _backdrops(trial: Trial) -> list[Backdrop]:
    dwells = [
        Backdrop(
            start=dwell.started_at_s,
            end=dwell.ended_at_s,
            name="step alone" if dwell.phase == "step" else dwell.phase,
            colour=dwell.phase,
            label=f"{dwell.phase} alone",
        )
        for dwell in trial.dwells
    ]
    if not trial.steps:
        return dwells
    last = trial.steps[-1]
    name = "measured steps"
    whole = Backdrop(
        start=trial.steps[0].started_at_s,
        end=last.started_at_s + last.wall_s,
        name=name,
        colour="steps",
        label=name,
    )
    return [whole, *dwells]


def _phases(trial: Trial) -> StepPhases | None:
    """Return where each step's phases lie, on the host; None where that is not recorded.

    Of several micro-batches, and with truncated BPTT, only sums over their phases are.
    """
    workload = trial.workload
    if workload.micro_batches > 1 or workload.truncate or not trial.steps:
        return None
    if len(trial.steps) > _MOST_STEPS:
        return None
    return StepPhases(
        starts=[step.started_at_s for step in trial.steps],
        phases={
            phase: [
                step.phases[phase].host_s if phase in step.phases else 0.0 for step in trial.steps
            ]
            for phase in PHASES
            if any(phase in step.phases for step in trial.steps)
        },
    )
