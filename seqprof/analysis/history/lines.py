"""Recording → the lines that a history keeps of it: the headline numbers, not the recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zlib import crc32

import msgspec

from seqprof.analysis.diff.settings_changed import other_load
from seqprof.analysis.quantities import Place, Quantity, values
from seqprof.analysis.run.findings import find
from seqprof.analysis.run.quantities.run import RUN, Measured
from seqprof.analysis.statistics import Estimate
from seqprof.history import HISTORY_VERSION, HistoryLine, HistoryMetric
from seqprof.recording import Recording, Trial

_KEPT = tuple(entry for entry in RUN if entry[0].history is not None)
_PASSES = ("forward", "backward", "step")


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
        metrics=tuple(_metrics(Measured(find(recording, trial), trial))),
    )


def _metrics(run: Measured) -> Iterator[HistoryMetric]:
    for quantity, estimate, place in values(_KEPT, run):
        if quantity.history == "every" or place.get("phase") in _PASSES:
            yield _metric(quantity, estimate, place)


def _metric(quantity: Quantity, estimate: Estimate, place: Place) -> HistoryMetric:
    loop = place.get("loop")
    return HistoryMetric(
        metric=quantity.key,
        value=estimate.value,
        unit=estimate.unit,
        method=estimate.method,
        phase=place.get("phase"),
        loop=loop,
        clock=place.get("clock") if loop else None,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        reason=estimate.reason,
    )
