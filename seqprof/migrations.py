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


MIGRATIONS: dict[int, Callable[[Plain], Plain]] = {1: _from_first}
