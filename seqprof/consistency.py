"""What a recording that seqprof wrote always is, whatever its types allow.

A damaged file can still be JSON of the right types. What analysis takes for granted is checked
here, once, when a file is read, so that damage is told by its place and never as a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seqprof.recording import (
    PHASES,
    CountedDepth,
    LatencyMap,
    Recording,
    Step,
    TimestepLatency,
    TimestepSamples,
    Trial,
)


def find_fault(recording: Recording) -> str | None:
    """Return the first fault as ``what - at `$.place```; None where all is consistent."""
    return next(_faults(recording), None)


def _faults(recording: Recording) -> Iterator[str]:
    specs = {".spec": recording.spec}
    for index, candidate in enumerate(recording.candidates):
        specs[f".candidates[{index}].spec"] = candidate.spec
        for key in ("model", "data", "data.seq_len", "data.batch_size", "data.lengths.layout"):
            if _entry(candidate.spec, key) is None:  # by these, points are put into groups
                yield f"Missing `{key}` - at `$.recording.candidates[{index}].spec`"
    for place, spec in specs.items():
        yield from (f"{what} - at `$.recording{place}{at}`" for at, what in _spec(spec))
    for index, trial in enumerate(recording.trials):
        yield from (f"{what} - at `$.trials[{index}]{at}`" for at, what in _trial(trial))
    if recording.candidates and len(recording.candidates) != len(recording.trials):
        yield "Not one candidate for each trial - at `$.candidates`"
    if recording.kind != "run" and not recording.candidates:
        yield f"A `{recording.kind}` without candidates - at `$.candidates`"
    if recording.environment.threads < 1 or recording.environment.cores < 1:
        yield "Less than one thread or core - at `$.environment`"


#: The sections of a spec, and the numbers that analysis computes with; null is their default.
_SECTIONS = (
    *("model", "model.config", "model.kwargs", "model.options", "data", "data.lengths"),
    *("train", "measure", "measure.timesteps", "attach"),
)
_NUMBERS = (
    *("data.seq_len", "data.batch_size", "model.hidden_size", "model.layers", "model.heads"),
    *("measure.timesteps.budget", "measure.dwell_samples"),
)
_TEXTS = ("model.name", "model.target", "model.execution", "data.lengths.layout")


def _spec(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A stored spec is kept as it was written; what is read of it has to be of its kind."""
    for key in _SECTIONS:
        if not isinstance(_entry(spec, key), dict | None):
            yield f".{key}", "Expected a section of the spec"
    for key in _NUMBERS:
        value = _entry(spec, key)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            yield f".{key}", "Expected a number"
    for key in _TEXTS:
        if not isinstance(_entry(spec, key), str | None):
            yield f".{key}", "Expected a text"


def _entry(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _trial(trial: Trial) -> Iterator[tuple[str, str]]:
    for index, step in enumerate(trial.steps):
        yield from ((f".steps[{index}]{at}", what) for at, what in _step(step))
    for index, latency in enumerate(trial.latencies):
        yield from ((f".latencies[{index}]", what) for what in _latency(latency))
    for index, samples in enumerate(trial.timestep_samples):
        yield from ((f".timestep_samples[{index}]", what) for what in _samples(samples))
    for index, latency_map in enumerate(trial.latency_maps):
        yield from ((f".latency_maps[{index}]", what) for what in _map(latency_map))
    for index, series in enumerate(trial.samples.series):
        if len(series.at_s) != len(series.value):
            yield f".samples.series[{index}]", "Times and values differ in number"
    if trial.depth is not None and trial.depth.counted is not None:
        yield from ((".depth.counted", what) for what in _counted(trial.depth.counted))
    work = trial.workload
    sizes = (work.timesteps, work.batch_size, work.micro_batches)
    if any(size is not None and size < 1 for size in sizes):
        yield ".workload", "A size below 1"


def _step(step: Step) -> Iterator[tuple[str, str]]:
    unknown = [phase for phase in step.phases if phase not in PHASES]
    if unknown:
        yield ".phases", f"Unknown phase `{unknown[0]}`"
    if step.kind == "bare" and step.phases:
        yield ".phases", "A bare step has none"
    if any(length < 1 for length in step.timesteps):
        yield ".timesteps", "A length below 1"
    if step.wall_s <= 0.0:
        yield ".wall_s", "Not above zero"
    if not 0 <= (step.padded_positions or 0) <= step.positions:
        yield ".padded_positions", "Not between 0 and `positions`"


def _samples(samples: TimestepSamples) -> Iterator[str]:
    if not all(samples.rows) or len(samples.rows) != len(samples.pairs) or not samples.rows:
        yield "Rows and pairs differ in number, or one is empty"


def _map(latency_map: LatencyMap) -> Iterator[str]:
    columns = {len(row) for row in latency_map.mean_s}
    if columns != {len(latency_map.starts)} or len(latency_map.mean_s) != len(latency_map.pairs):
        yield "Rows or columns differ in number"


def _counted(counted: CountedDepth) -> Iterator[str]:
    columns = (counted.lengths, counted.depth_ops, counted.work_ops)
    if len(set(map(len, columns))) > 1:
        yield "Lengths and counts differ in number"
    if min(counted.lengths, default=1) < 1 or (counted.chunk or 1) < 1:
        yield "A length below 1"


def _latency(latency: TimestepLatency) -> Iterator[str]:
    names = ("mean_s", "p05_s", "p25_s", "p50_s", "p75_s", "p95_s")
    columns = [getattr(latency, name) for name in names]
    if {len(column) for column in columns} != {len(latency.samples)}:
        yield "Arrays differ in length"
