"""How busy the accelerator is in each phase, or the processor that stands in for it.

Four quantities are called "utilization" (docs/metrics.md). Each has its own field here; none ever
fills in for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.run.dwell import DwellSummary
from seqprof.analysis.run.phases import PhaseSummary
from seqprof.analysis.run.profile import busy_fraction, profiled_busy_fraction, profiled_phase
from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import DeviceSamples, Phase, ProfiledPass

#: What tells idle time: a kernel timeline where there is one, else NVML; the processor without an
#: accelerator.
IdleSource = Literal["busy_fraction", "nvml_utilization", "core_busy_fraction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseIdle:
    """Busy and idle of one phase, or of the whole step."""

    phase: Phase | Literal["step"]
    time: Estimate
    nvml_utilization: Estimate
    busy_fraction: Estimate
    profiled_busy_fraction: Annotated[
        Estimate, Meta(description="within the profiled window, slowed by the profiler as it is")
    ]
    sm_active: Estimate
    model_flops_utilization: Estimate
    core_busy_fraction: Estimate
    idle_time: Annotated[
        Estimate, Meta(description="time less the busy time that idle_source tells; see its method")
    ]
    idle_source: IdleSource

    @property
    def on_device(self) -> bool:
        """Whether it is an accelerator that is busy or idle here."""
        return self.idle_source != "core_busy_fraction"

    @property
    def busy(self) -> Estimate:
        """The busy share that ``idle_source`` names."""
        busy: Estimate = getattr(self, self.idle_source)
        return busy


def summarise_idle(
    phases: tuple[PhaseSummary, ...],
    step: Estimate,
    dwells: tuple[DwellSummary, ...],
    samples: DeviceSamples,
    utilization: Estimate,
    *,
    accelerator: bool,
    profile: ProfiledPass | None = None,
) -> tuple[PhaseIdle, ...]:
    """Return one entry per phase and one for the step.

    Args:
        utilization: model FLOP/s over peak, which is known for the whole step only.
        accelerator: False where the processor stands in.
        profile: the profiled pass, for busy_fraction.
    """
    by_phase: dict[str, DwellSummary] = {dwell.phase: dwell for dwell in dwells}
    parts: list[tuple[Phase | Literal["step"], Estimate, Estimate]] = [
        (phase.phase, phase.time, phase.core_busy_fraction) for phase in phases
    ]
    parts.append(("step", step, _core_busy_step(phases)))
    return tuple(
        _summarise(name, time, busy, by_phase.get(name), samples, utilization, accelerator, profile)
        for name, time, busy in parts
    )


def _summarise(
    phase: Phase | Literal["step"],
    time: Estimate,
    core_busy: Estimate,
    dwell: DwellSummary | None,
    samples: DeviceSamples,
    utilization: Estimate,
    accelerator: bool,
    profile: ProfiledPass | None,
) -> PhaseIdle:
    reason = _no_dwell(phase, samples, accelerator)
    nvml = dwell.nvml_utilization if dwell else missing("1", "NVML during a dwell", reason)
    no_kernels = missing("1", "union of kernel intervals / window", reason)
    kernels = busy_fraction(profile, phase, time) if accelerator else no_kernels
    idle, source = _idle(phase, time, core_busy, kernels, dwell, nvml, accelerator, profile)
    return PhaseIdle(
        phase=phase,
        time=time,
        nvml_utilization=nvml,
        busy_fraction=kernels,
        profiled_busy_fraction=profiled_busy_fraction(profile, phase)
        if accelerator
        else no_kernels,
        sm_active=dwell.sm_active if dwell else missing("1", "NVML GPM during a dwell", reason),
        model_flops_utilization=utilization
        if phase == "step" or not accelerator
        else missing("1", utilization.method, "FLOPs are counted for the whole step"),
        core_busy_fraction=core_busy,
        idle_time=idle,
        idle_source=source,
    )


def _no_dwell(phase: str, samples: DeviceSamples, accelerator: bool) -> str:
    if not accelerator:
        return "no accelerator"
    if phase not in ("forward", "backward", "step"):
        return "only forward, backward and the step are dwelt on"
    return samples.reason or "there was no dwell on it"


def _idle(
    phase: str,
    time: Estimate,
    core_busy: Estimate,
    kernels: Estimate,
    dwell: DwellSummary | None,
    nvml: Estimate,
    accelerator: bool,
    profile: ProfiledPass | None,
) -> tuple[Estimate, IdleSource]:
    """Idle time of a phase, and what told it."""
    if not accelerator:
        return _idle_share(time, core_busy), "core_busy_fraction"
    made = profiled_phase(profile, phase) if profile and kernels.value is not None else None
    if made is not None:
        method = "time in unprofiled steps - union of kernel intervals in profiled steps"
        return _less(time, made.busy_s, method, kernels.n), "busy_fraction"
    if profile is not None and profile.whole is not None and dwell is None:
        return missing("s", kernels.method, kernels.reason or "not measured"), "busy_fraction"
    method = "time - nvml_utilization x time of one repetition in the dwell"
    if nvml.value is None or dwell is None or dwell.per_repeat_s is None:
        return missing("s", method, nvml.reason or "not measured"), "nvml_utilization"
    return _less(time, nvml.value * dwell.per_repeat_s, method, nvml.n), "nvml_utilization"


def _less(time: Estimate, busy_s: float, method: str, n: int) -> Estimate:
    if time.value is None:
        return missing("s", method, time.reason or "not measured")
    low, high = (None if end is None else end - busy_s for end in (time.low, time.high))
    return Estimate(value=time.value - busy_s, low=low, high=high, unit="s", method=method, n=n)


def _idle_share(time: Estimate, busy: Estimate) -> Estimate:
    method = "time x (1 - core_busy_fraction)"
    if time.value is None or busy.value is None:
        absent = time.reason if time.value is None else busy.reason
        return missing("s", method, absent or "not measured")
    return Estimate(value=time.value * (1.0 - busy.value), unit="s", method=method, n=busy.n)


def _core_busy_step(phases: tuple[PhaseSummary, ...]) -> Estimate:
    """Return the phases' core busy fractions, weighted by their host times."""
    method = "core_busy_fraction of the phases, weighted by their host times"
    known = [
        (phase.host_time.value, phase.core_busy_fraction.value)
        for phase in phases
        if phase.host_time.value is not None and phase.core_busy_fraction.value is not None
    ]
    whole = sum(time for time, _ in known)
    if not whole:
        return missing("1", method, "no bare step was measured")
    busy = sum(time * fraction for time, fraction in known) / whole
    return Estimate(value=busy, unit="1", method=method, n=phases[0].core_busy_fraction.n)
