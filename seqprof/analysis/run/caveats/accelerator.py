"""Caveats that only an accelerator gives cause for."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.analysis.run.findings import Findings
from seqprof.analysis.run.launch_bound import LaunchBound
from seqprof.analysis.run.mfu import find_peak
from seqprof.analysis.run.precision import in_tf32
from seqprof.analysis.wording import seconds_in_words
from seqprof.recording import Environment, Recording, Trial

#: NVML's utilization and the kernel timeline may differ by so much.
MOST_DISAGREEMENT = 0.10


def accelerator_caveats(recording: Recording, trial: Trial, findings: Findings) -> Iterator[Caveat]:
    """Yield the caveats of a trial on an accelerator; none on the processor."""
    if recording.environment.device.is_accelerator:
        yield from _precision(trial, recording.environment)
        yield from _disagreement(findings)
        yield from _unknown_bound(findings)


def _precision(trial: Trial, environment: Environment) -> Iterator[Caveat]:
    part = in_tf32(trial.workload, environment)
    peak = find_peak(environment.device.name)
    if part is None or (peak is not None and peak.tf32 is None):
        return
    switches = ", ".join(f"{name}: {is_}" for name, is_ in environment.fp32_precision.items())
    yield Caveat(
        kind="tf32",
        severity="note",
        text=f"fp32 is TF32 here for the {part}: 10 bits of mantissa, on tensor cores",
        evidence=f"torch's switches: {switches}",
        remedy="to compare with a loop of cells, let matrix products have it as well: "
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 before the command; or NVIDIA_TF32_OVERRIDE=0 for "
        "neither",
    )


def _disagreement(findings: Findings) -> Iterator[Caveat]:
    apart = [
        (abs(part.nvml_utilization.value - part.busy_fraction.value), part)
        for part in findings.idle
        if part.nvml_utilization.value is not None and part.busy_fraction.value is not None
    ]
    worst = max(apart, key=lambda pair: pair[0], default=None)
    if worst is None or worst[0] <= MOST_DISAGREEMENT:
        return
    part = worst[1]
    yield Caveat(
        kind="nvml_against_timeline",
        severity="note",
        text="NVML and the kernel timeline disagree on how busy the device is; idle time is from "
        "the timeline",
        evidence=f"{part.phase}: NVML {part.nvml_utilization.value:.0%}, kernels "
        f"{part.busy_fraction.value:.0%} (limit {MOST_DISAGREEMENT:.0%} apart)",
        remedy="trust the timeline for idle time: NVML may count the gaps between kernels as busy",
    )


def _unknown_bound(findings: Findings) -> Iterator[Caveat]:
    unknown = [bound for bound in findings.launch_bound if bound.holds is None]
    if not unknown:
        return
    first = unknown[0]
    why, remedy = _why_unknown(first)
    yield Caveat(
        kind="launch_bound_unknown",
        severity="note",
        text=f"Whether the device waits for the host is not known here: {why}",
        evidence=f"{first.loop} {first.phase}: host {seconds_in_words(first.host_s)}, device "
        f"{seconds_in_words(first.device_s)}; a full launch queue would look the same",
        remedy=remedy,
    )


def _why_unknown(bound: LaunchBound) -> tuple[str, str]:
    """Why it is not known, and what would tell."""
    if bound.busy is None or bound.slowed is None:
        missing = "its busy share is missing"
        return missing, "take a kernel timeline: --set measure.profile=true"
    why = (
        f"it is busy {bound.busy:.0%}, and the profiler made the {bound.phase} {bound.slowed:.1f}x"
    )
    return f"{why} as long", "try a larger batch: a device that waits takes it in the same time"
