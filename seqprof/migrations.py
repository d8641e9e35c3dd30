"""Older recordings → the shape of this seqprof: a chain of pure functions on plain data.

``MIGRATIONS[n]`` takes a recording of schema n, as JSON gives it, and returns that of schema n + 1.
A migration invents nothing: what an older seqprof did not measure is null. To change the shape of
a recording, raise ``SCHEMA_VERSION``, add a function here, and keep a file of the old shape in
tests/data/recordings/. A new field with a default needs no function, but the new number, so that
an older seqprof says that it cannot read the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Plain = dict[str, Any]


def migrate(recording: Plain, version: int, target: int) -> Plain:
    """Return ``recording``, which is of schema ``version``, in the shape of schema ``target``.

    Raises:
        KeyError, TypeError, AttributeError, IndexError: it does not have the shape of its schema.
    """
    for step in range(version, target):
        if step in MIGRATIONS:
            recording = MIGRATIONS[step](recording)
    return recording


def _from_first(recording: Plain) -> Plain:
    """1 → 2: no means of a timestep's latencies at first; CPU time by the process's clock."""
    return {**recording, "trials": [_trial_from_first(trial) for trial in recording["trials"]]}


def _trial_from_first(trial: Plain) -> Plain:
    latencies = [
        {"mean_s": [None] * len(latency["p50_s"]), **latency}
        for latency in trial.get("latencies", ())
    ]
    return {**trial, "latencies": latencies, "cpu_clock": "process"}


def _from_second(recording: Plain) -> Plain:
    """2 → 3: the bare steps of schema 2 had their phases bounded, and CPU clocks read in them.

    What a trial ran stood with its candidate, so that a `run` could not have it.
    """
    trials = [_trial_from_second(trial) for trial in recording["trials"]]
    candidates = [dict(candidate) for candidate in recording.get("candidates", ())]
    for candidate, trial in zip(candidates, trials, strict=False):
        for key in ("operations", "unflattened"):
            if key in candidate:
                trial[key] = candidate.pop(key)
    return {
        **recording,
        "environment": _environment_from_second(recording["environment"]),
        "trials": trials,
        "candidates": candidates,
    }


def _environment_from_second(environment: Plain) -> Plain:
    """The library that watched the device was NVML, whose version had a field of its own."""
    version = environment.get("nvml")
    rest = {key: value for key, value in environment.items() if key != "nvml"}
    return rest if version is None else {**rest, "monitor": f"NVML {version}"}


def _trial_from_second(trial: Plain) -> Plain:
    return {**trial, "steps": [_step_from_second(step) for step in trial["steps"]]}


def _step_from_second(step: Plain) -> Plain:
    return {**step, "kind": "bounded"} if step["kind"] == "bare" else step


MIGRATIONS: dict[int, Callable[[Plain], Plain]] = {1: _from_first, 2: _from_second}
