"""How much of the computed sequence is padding."""

from __future__ import annotations

from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import Trial

METHOD = "padded timesteps / computed timesteps, all steps"


def padding_share(trial: Trial) -> Estimate:
    """Return the share of computed timesteps that is padding."""
    computed = sum(step.positions for step in trial.steps)
    if not computed:
        return missing("1", METHOD, "the computed timesteps were not counted")
    padded = sum(step.padded_positions for step in trial.steps)
    return Estimate(value=padded / computed, unit="1", method=METHOD, n=len(trial.steps))
