"""The profiled pass beside the bare steps: how much it slowed them, and busy fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.run.phases import NO_BARE_STEP, headline_method, headline_steps
from seqprof.analysis.statistics import Estimate, median, missing
from seqprof.recording import ProfiledPass, ProfiledPhase, Trial

_BUSY_METHOD = "union of kernel intervals in profiled steps / time in unprofiled steps"
_PROFILED_METHOD = "union of kernel intervals / device window, in profiled steps"
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
    bare = [step.wall_s for step in headline_steps(trial)]
    method = f"median of profiled steps / {headline_method(trial)}"
    if made.reason is not None or not made.wall_s or not bare:
        return missing("1", method, made.reason or NO_BARE_STEP)
    return Estimate(
        value=median(made.wall_s) / median(bare), unit="1", method=method, n=len(made.wall_s)
    )


def busy_fraction(made: ProfiledPass | None, phase: str, time: Estimate) -> Estimate:
    """Busy seconds of a phase's kernels over its time in unprofiled steps.

    Profiling slows the host and not the kernels: the share within the profiled window is too small
    by about the slowdown where the device waits for the host.

    Args:
        made: the profiled pass.
        phase: a phase, or ``step``.
        time: what it takes on the device in unprofiled steps, in seconds.
    """
    part, reason = _device_part(made, phase)
    if part is None or not time.value:
        return missing("1", _BUSY_METHOD, reason or time.reason or "it was not timed")
    return Estimate(
        value=part.busy_s / time.value,
        low=part.busy_s / time.high if time.high else None,
        high=part.busy_s / time.low if time.low else None,
        unit="1",
        method=_BUSY_METHOD,
        n=made.steps if made else 0,
    )


def profiled_busy_fraction(made: ProfiledPass | None, phase: str) -> Estimate:
    """Exact busy share of a phase's device windows in the profiled steps, slowed as they are."""
    part, reason = _device_part(made, phase)
    if part is None:
        return missing("1", _PROFILED_METHOD, reason or NOT_TAKEN)
    return Estimate(
        value=part.busy_s / part.window_s,
        unit="1",
        method=_PROFILED_METHOD,
        n=made.steps if made else 0,
    )


def _device_part(made: ProfiledPass | None, phase: str) -> tuple[ProfiledPhase | None, str | None]:
    """A phase of a device's timeline, or why there is none."""
    if made is None or made.reason is not None:
        return None, (made.reason if made else None) or NOT_TAKEN
    part = profiled_phase(made, phase)
    if part is None or part.window_s <= 0.0:
        return None, "nothing was launched in this phase of the profiled steps"
    return part, None


def profiled_phase(made: ProfiledPass, phase: str) -> ProfiledPhase | None:
    """One phase of the pass, or the whole step."""
    if phase == "step":
        return made.whole
    return next((part for part in made.phases if part.phase == phase), None)
