"""MLflow: one of its runs for each result, on a server or in a local store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from seqprof.integrations.trackers.entries import Entries

DEFAULT_EXPERIMENT = "seqprof"
#: The most that MLflow takes in one request.
MOST_METRICS, MOST_PARAMETERS = 1_000, 100
#: The tag that MLflow shows as a run's description, and the most that every store keeps of one.
DESCRIPTION, LONGEST_TAG = "mlflow.note.content", 5_000
#: Likewise of a parameter's value.
LONGEST_PARAMETER = 500


def log(logged: Entries, where: str | None) -> str:
    """Log ``logged`` to the tracking URI ``where``, else to that of MLFLOW_TRACKING_URI."""
    mlflow: Any = import_module("mlflow")
    client = mlflow.MlflowClient(tracking_uri=where)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    experiment = client.get_experiment_by_name(name)
    at = round(datetime.fromisoformat(logged.created).timestamp() * 1000)
    run = client.create_run(
        experiment.experiment_id if experiment else client.create_experiment(name),
        start_time=at,
        run_name=logged.title,
        tags={DESCRIPTION: _cut(logged.notes, LONGEST_TAG)},
    ).info.run_id
    try:
        _log(client, mlflow.entities, run, logged, at)
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    return f"run {run} of the experiment {name}"


def _log(client: Any, entities: Any, run: str, logged: Entries, at: int) -> None:
    parameters = [
        entities.Param(_key(name), _cut(str(value), LONGEST_PARAMETER))
        for name, value in logged.parameters.items()
    ]
    metrics = [
        *(entities.Metric(_key(name), value, at, 0) for name, value in logged.scalars.items()),
        *(
            entities.Metric(_key(name), value, at, x)
            for name, points in logged.series.items()
            for x, value in points
        ),
    ]
    for part in _parts(parameters, MOST_PARAMETERS):
        client.log_batch(run, params=part)
    for part in _parts(metrics, MOST_METRICS):
        client.log_batch(run, metrics=part)


def _parts(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), most):
        yield items[first : first + most]


def _key(name: str) -> str:
    """Return a name that MLflow takes; different names stay different."""
    return re.sub(r"[^\w./ -]", lambda match: f"_x{ord(match[0]):x}_", name)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
