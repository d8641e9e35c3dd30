"""How much of the computed sequence is padding."""

from __future__ import annotations

from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import Trial

UNKNOWN = "the data do not say how long each sequence is (`lengths`)"
METHOD = "padded timesteps / computed timesteps, all steps"


def padding_share(trial: Trial) -> Estimate:
    """Return the share of computed timesteps that is padding."""
    computed = sum(step.positions for step in trial.steps)
    if not computed:
        return missing("1", METHOD, "the computed timesteps were not counted")
    known = [step.padded_positions for step in trial.steps if step.padded_positions is not None]
    if len(known) < len(trial.steps):
        return missing("1", METHOD, UNKNOWN)
    padded = sum(known)
    return Estimate(value=padded / computed, unit="1", method=METHOD, n=len(trial.steps))
