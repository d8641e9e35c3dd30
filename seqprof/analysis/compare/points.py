"""What `compare` and `scale` tell of one candidate at one length and batch size."""

from __future__ import annotations

from seqprof.analysis.compare.rounds import core_busy
from seqprof.analysis.run.findings import Findings
from seqprof.analysis.run.idle import IdleSource, PhaseIdle
from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import Candidate, Recording, Trial


def of_step(findings: Findings) -> PhaseIdle:
    """Return busy and idle of the whole step."""
    return next(part for part in findings.idle if part.phase == "step")


def busy_of(
    recording: Recording, candidate: Candidate, trial: Trial, findings: Findings
) -> tuple[Estimate, IdleSource]:
    """Return how busy a step keeps the device, and what tells it."""
    if recording.environment.device.is_accelerator:
        step = of_step(findings)
        return step.busy, step.idle_source
    threads = candidate.threads or recording.environment.threads
    absent = failure_of(trial) or "no round was measured"
    return core_busy(trial, threads, absent), "core_busy_fraction"


def failure_of(trial: Trial) -> str | None:
    """Return why a trial has no times, or None."""
    if trial.steps:
        return None
    short = [i for i in trial.incidents if i.kind == "out_of_memory"]
    if short:
        killed = f" ({short[0].detail})" if "SIGKILL" in short[0].detail else ""
        return f"out of memory at T = {trial.workload.timesteps}{killed}"
    return trial.incidents[-1].detail if trial.incidents else "no round was measured"


def peak_memory(trial: Trial, failed: str | None) -> Estimate:
    """Return the largest peak of a step's phases; ``failed``: why the trial has no times."""
    peaks = [a for a in trial.accounts if a.peak_memory_bytes is not None]
    if not peaks:
        reason = next((a.reason for a in trial.accounts if a.reason), None)
        return missing("B", "peak memory", reason or failed or "it was not recorded")
    largest = max(peaks, key=lambda account: account.peak_memory_bytes or 0)
    method = largest.memory_method or "peak memory"
    return Estimate(value=largest.peak_memory_bytes, unit="B", method=method, n=1)
