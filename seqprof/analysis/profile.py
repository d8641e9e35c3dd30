"""The profiled pass beside the bare steps: how much it slowed them, and busy fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.phases import steps_of
from seqprof.analysis.statistics import Estimate, median, missing
from seqprof.recording import ProfiledPass, ProfiledPhase, Trial

_METHOD = "median of profiled steps / median of bare steps"
_BUSY_METHOD = "union of kernel intervals / device window, in profiled steps"
#: A recording that knows nothing of a profiled pass.
NOT_TAKEN = "needs a kernel timeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSummary:
    """The profiled pass, and how far its times are from those of unprofiled steps."""

    measured: ProfiledPass
    slowdown: Annotated[Estimate, Meta(description="ratio; bare times stay the headline")]


def summarise_profile(trial: Trial) -> ProfileSummary | None:
    """Return the pass with its slowdown; None where the recording is older than such passes."""
    made = trial.profile
    return None if made is None else ProfileSummary(measured=made, slowdown=_slowdown(trial, made))


def _slowdown(trial: Trial, made: ProfiledPass) -> Estimate:
    bare = [step.wall_s for step in steps_of(trial, "bare")]
    if made.reason is not None or not made.wall_s or not bare:
        return missing("1", _METHOD, made.reason or "no bare step was measured")
    return Estimate(
        value=median(made.wall_s) / median(bare), unit="1", method=_METHOD, n=len(made.wall_s)
    )


def busy_fraction(made: ProfiledPass | None, phase: str) -> Estimate:
    """Exact busy share of a phase's device windows, or of the step's."""
    if made is None or made.reason is not None:
        return missing("1", _BUSY_METHOD, made.reason or NOT_TAKEN if made else NOT_TAKEN)
    found = profiled_phase(made, phase)
    if found is None or found.window_s <= 0.0:
        return missing("1", _BUSY_METHOD, f"the device did nothing for the {phase}")
    return Estimate(
        value=found.busy_s / found.window_s, unit="1", method=_BUSY_METHOD, n=made.steps
    )


def profiled_phase(made: ProfiledPass, phase: str) -> ProfiledPhase | None:
    """One phase of the pass, or the whole step."""
    if phase == "step":
        return made.whole
    return next((found for found in made.phases if found.phase == phase), None)
