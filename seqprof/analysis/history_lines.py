"""Recording → the lines that a history keeps of it: the headline numbers, not the recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zlib import crc32

import msgspec

from seqprof.analysis.findings import Findings, find
from seqprof.analysis.settings_changed import other_load
from seqprof.analysis.statistics import Estimate
from seqprof.history import HISTORY_VERSION, HistoryLine, HistoryMetric
from seqprof.recording import Recording, Trial


def history_lines(recording: Recording) -> tuple[HistoryLine, ...]:
    """Return one line for a run, and one for each candidate and length of the other kinds."""
    if recording.kind == "run":
        return tuple(_line(recording, trial, None) for trial in recording.trials[:1])
    return tuple(
        _line(replace(recording, spec=candidate.spec), trial, candidate.label)
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    )


def spec_digest(spec: dict[str, Any]) -> str:
    """Return a short name of a spec: the same for the same settings, whatever their order."""
    # Not for secrets: a checksum names a dozen specs well enough, and imports nothing.
    return f"{crc32(msgspec.json.encode(spec, order='deterministic')):08x}"


def _line(recording: Recording, trial: Trial, label: str | None) -> HistoryLine:
    environment, work = recording.environment, trial.workload
    load = other_load(trial.host)
    return HistoryLine(
        history_version=HISTORY_VERSION,
        kind=recording.kind,
        created=recording.created,
        commit=environment.commit,
        label=label,
        model=work.model,
        timesteps=work.timesteps,
        batch_size=work.batch_size,
        spec=spec_digest(recording.spec),
        device=environment.device.name,
        cpu=environment.cpu,
        threads=environment.threads,
        seqprof=environment.seqprof,
        torch=environment.torch,
        other_load_cores=None if load is None else round(load, 2),
        metrics=tuple(_metrics(find(recording, trial))),
    )


def _metrics(findings: Findings) -> Iterator[HistoryMetric]:
    yield _metric("step_time", findings.step)
    yield _metric("throughput", findings.throughput)
    yield _metric("perturbation", findings.perturbation.change)
    for phase in findings.phases:
        yield _metric("phase_time", phase.time, phase.phase)
        yield _metric("peak_memory", phase.peak_memory, phase.phase)
        yield _metric("operations", phase.operations, phase.phase)
    for idle in findings.idle:
        if idle.phase in ("forward", "backward", "step"):
            yield _metric("idle_time", idle.idle_time, idle.phase)
            yield _metric(idle.idle_source, getattr(idle, idle.idle_source), idle.phase)
            yield _metric("busy_fraction", idle.busy_fraction, idle.phase)
    for loop in findings.loops:
        yield _metric("timestep_latency_typical", loop.p50, loop.phase, loop.loop, loop.clock)
    for cost in findings.marginal:
        yield _metric("marginal_time_per_timestep", cost.marginal, cost.phase)


def _metric(
    name: str,
    estimate: Estimate,
    phase: str | None = None,
    loop: str | None = None,
    clock: str | None = None,
) -> HistoryMetric:
    return HistoryMetric(
        metric=name,
        value=estimate.value,
        unit=estimate.unit,
        method=estimate.method,
        phase=phase,
        loop=loop,
        clock=clock,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        reason=estimate.reason,
    )
