"""What a recording that seqprof wrote always is, whatever its types allow.

A damaged file can still be JSON of the right types. What analysis takes for granted is checked
here, once, when a file is read, so that damage is told by its place and never as a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.recording import PHASES, Recording, Step, TimestepLatency, Trial


def find_fault(recording: Recording) -> str | None:
    """Return the first fault as ``what - at `$.place```; None where all is consistent."""
    return next(_faults(recording), None)


def _faults(recording: Recording) -> Iterator[str]:
    for index, trial in enumerate(recording.trials):
        yield from (f"{what} - at `$.trials[{index}]{at}`" for at, what in _trial(trial))
    if recording.candidates and len(recording.candidates) != len(recording.trials):
        yield "Not one candidate for each trial - at `$.candidates`"
    if recording.kind != "run" and not recording.candidates:
        yield f"A `{recording.kind}` without candidates - at `$.candidates`"
    if recording.environment.threads < 1 or recording.environment.cores < 1:
        yield "Less than one thread or core - at `$.environment`"


def _trial(trial: Trial) -> Iterator[tuple[str, str]]:
    for index, step in enumerate(trial.steps):
        yield from ((f".steps[{index}]{at}", what) for at, what in _step(step))
    for index, latency in enumerate(trial.latencies):
        yield from ((f".latencies[{index}]", what) for what in _latency(latency))
    for index, found in enumerate(trial.latency_maps):
        if {len(row) for row in found.mean_s} != {len(found.starts)} or len(found.mean_s) != len(
            found.pairs
        ):
            yield f".latency_maps[{index}]", "Rows or columns differ in number"
    for index, series in enumerate(trial.samples.series):
        if len(series.at_s) != len(series.value):
            yield f".samples.series[{index}]", "Times and values differ in number"
    work = trial.workload
    if min(work.timesteps, work.batch_size, work.micro_batches) < 1:
        yield ".workload", "A size below 1"


def _step(step: Step) -> Iterator[tuple[str, str]]:
    unknown = [phase for phase in step.phases if phase not in PHASES]
    if unknown:
        yield ".phases", f"Unknown phase `{unknown[0]}`"
    if step.wall_s <= 0.0:
        yield ".wall_s", "Not above zero"
    if step.padded_positions < 0 or step.padded_positions > step.positions:
        yield ".padded_positions", "Not between 0 and `positions`"


def _latency(latency: TimestepLatency) -> Iterator[str]:
    names = ("mean_s", "p05_s", "p25_s", "p50_s", "p75_s", "p95_s")
    columns = [getattr(latency, name) for name in names]
    if {len(column) for column in columns} != {len(latency.samples)}:
        yield "Arrays differ in length"
