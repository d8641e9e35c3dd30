"""Recordings as Trace Event JSON, which Perfetto, chrome://tracing and speedscope open.

What was recorded has a place in time: steps, dwells, incidents, the device's samples. Of a phase
the recording has the length, not the beginning: phases are laid one after the other in their
step. Of a timestep it has quantiles over the probed steps: their means are laid end to end, in a
process of their own whose name says so.

Times are multiples of 1/8 µs. Those are exact as floating-point microseconds and as whole
nanoseconds, so that events that touch do not overlap by a rounding error in any reader.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from seqprof.analysis.wording import sizes_in_words
from seqprof.recording import PHASES, Step, TimestepLatency, Trial
from seqprof.reports.escaping import one_line
from seqprof.reports.formats import Format, Result

Event: TypeAlias = dict[str, Any]
#: Parts of a microsecond that times are rounded to.
_PARTS = 8
#: Threads of the process that shows what was recorded.
_STEPS, _DWELLS = 1, 2


def render(results: Sequence[Result]) -> bytes:
    """Return one trace of all trials of all results, each trial a process or two."""
    processes = itertools.count(1)
    events = [event for result in results for event in _result(result, processes)]
    earliest = min((event["ts"] for event in events if "ts" in event), default=0.0)
    for event in events:
        if "ts" in event:
            event["ts"] -= min(earliest, 0.0)  # samples taken before the trial began
    # Where two begin together, the longer one encloses the other.
    events.sort(
        key=lambda event: (event["ph"] != "M", event.get("ts", 0.0), -event.get("dur", 0.0))
    )
    document = {
        "displayTimeUnit": "ms",
        "otherData": {
            "by": "seqprof; docs/reports.md says what has a place in time and what has not",
            "of": [one_line(result.name) for result in results],
        },
        "traceEvents": events,
    }
    return msgspec.json.encode(document) + b"\n"


def _result(result: Result, processes: Iterator[int]) -> Iterator[Event]:
    assert result.recording is not None
    trials, candidates = result.recording.trials, result.recording.candidates
    origins = [trial.clock_origin_ns for trial in trials]
    for index, trial in enumerate(trials):
        label = candidates[index].label if candidates else trial.workload.model
        workload = trial.workload
        name = f"{label}, {sizes_in_words(workload.timesteps, workload.batch_size)} ({result.name})"
        # Trials of one command ran in processes of their own, on the host's one monotonic clock.
        offset_s = (origins[index] - min(origins)) * 1e-9 if all(origins) else 0.0
        yield from _recorded(trial, next(processes), name, offset_s)
        if trial.latencies:
            yield from _means(trial, next(processes), name, offset_s)


# What was recorded ----------------------------------------------------------------------------


def _recorded(trial: Trial, pid: int, name: str, offset_s: float) -> Iterator[Event]:
    yield _named("process_name", pid, 0, name)
    yield _named("thread_name", pid, _STEPS, "steps; their phases laid one after the other")
    for step in trial.steps:
        yield from _step(step, pid, offset_s)
    if trial.dwells:
        yield _named("thread_name", pid, _DWELLS, "dwells: one phase repeated alone")
    for dwell in trial.dwells:
        start, end = offset_s + dwell.started_at_s, offset_s + dwell.ended_at_s
        details = {"repeats": dwell.repeats, **({"reason": dwell.reason} if dwell.reason else {})}
        yield _complete(pid, _DWELLS, f"{dwell.phase}, alone", "dwell", start, end, details)
    for incident in trial.incidents:
        if incident.at_s is not None:
            yield {
                "ph": "i",
                "pid": pid,
                "tid": _STEPS,
                "ts": _microseconds(offset_s + incident.at_s),
                "s": "p",
                "name": one_line(incident.kind),
                "cat": "incident",
                "args": {"detail": one_line(incident.detail)},
            }
    yield from _counters(trial, pid, offset_s)


def _step(step: Step, pid: int, offset_s: float) -> Iterator[Event]:
    start = offset_s + step.started_at_s
    end = start + step.wall_s
    details: dict[str, Any] = {"wall_ms": step.wall_s * 1e3}
    if step.loss is not None:
        details["loss"] = step.loss
    if step.stride is not None:
        details["every k-th timestep marked"] = step.stride
    for loop in step.loops:
        details[f"{loop.phase} loop {one_line(loop.loop)}, host ms"] = loop.host_s * 1e3
    yield _complete(pid, _STEPS, f"step ({step.kind})", "step", start, end, details)
    for phase in PHASES:
        timing = step.phases.get(phase)
        if timing is None:
            continue
        until = min(start + timing.host_s, end)  # phases end with their step, but for rounding
        details = {"host_ms": timing.host_s * 1e3}
        if timing.cpu_s is not None:
            details["cpu_ms"] = timing.cpu_s * 1e3
        if timing.device_s is not None:
            details["device_ms"] = timing.device_s * 1e3
        yield _complete(pid, _STEPS, phase, "phase", start, until, details)
        start = until


def _counters(trial: Trial, pid: int, offset_s: float) -> Iterator[Event]:
    """Yield each sample from the beginning of the window that it covers."""
    for series in trial.samples.series:
        for at_s, value in zip(series.at_s, series.value, strict=True):
            yield {
                "ph": "C",
                "pid": pid,
                "ts": _microseconds(offset_s + at_s - (series.window_s or 0.0)),
                "name": one_line(series.metric),
                "cat": "samples",
                "args": {"value": value},
            }


# Mean timesteps -------------------------------------------------------------------------------


def _means(trial: Trial, pid: int, name: str, offset_s: float) -> Iterator[Event]:
    """Lay each loop's mean timesteps end to end, from where the first probed step began."""
    yield _named("process_name", pid, 0, f"mean timesteps, laid end to end: {name}")
    began = (step.started_at_s for step in trial.steps if step.kind == "probed")
    first = offset_s + next(began, 0.0)
    rows: dict[tuple[str, str], list[TimestepLatency]] = {}
    for latency in trial.latencies:
        rows.setdefault((latency.loop, latency.clock), []).append(latency)
    for tid, ((loop, clock), latencies) in enumerate(rows.items(), start=1):
        yield _named("thread_name", pid, tid, f"{loop} ({clock} clock)")
        start = first
        for latency in sorted(latencies, key=lambda made: made.phase == "backward"):
            events, start = _timesteps(latency, pid, tid, start)
            yield from events


def _timesteps(
    latency: TimestepLatency, pid: int, tid: int, start: float
) -> tuple[list[Event], float]:
    """Return a loop's timesteps in the order in which they run, and when the last one ends."""
    order = range(len(latency.mean_s))
    runs_back = latency.reverse != (latency.phase == "backward")
    events, began = [], start
    for timestep in reversed(order) if runs_back else order:
        mean = latency.mean_s[timestep]
        if mean is None:
            continue  # never marked
        details = {
            "mean_us": mean * 1e6,
            "p50_us": _scaled(latency.p50_s[timestep]),
            "p95_us": _scaled(latency.p95_s[timestep]),
            "measurements": latency.samples[timestep],
        }
        name = f"t = {timestep}"
        events.append(_complete(pid, tid, name, "timestep", start, start + mean, details))
        start += mean
    details = {"timesteps": len(events), "of": len(latency.mean_s)}
    whole = _complete(pid, tid, f"{latency.phase} loop", "timesteps", began, start, details)
    return [whole, *events], start


def _scaled(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e6


# Events ---------------------------------------------------------------------------------------


def _named(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {"name": one_line(name)}}


def _complete(
    pid: int, tid: int, name: str, category: str, start_s: float, end_s: float, details: Event
) -> Event:
    start = _microseconds(start_s)
    return {
        "ph": "X",
        "pid": pid,
        "tid": tid,
        "ts": start,
        "dur": max(0.0, _microseconds(end_s) - start),
        "name": one_line(name),
        "cat": category,
        "args": details,
    }


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6 * _PARTS) / _PARTS


CHROME = Format(
    name="chrome",
    title="Trace Event JSON for Perfetto and speedscope: steps, phases, mean timesteps, samples",
    suffixes=(".trace.json",),
    kinds=frozenset({"run", "compare", "scale"}),
    several=True,
    render=render,
)
