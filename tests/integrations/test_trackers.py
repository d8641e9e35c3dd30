"""Each tracker, without its server: what was logged is read back by the tracker's own reader."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_recordings import cpu_cell
from wandb_file import records

from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.integrations.trackers.destinations import Destination, parse, send
from seqprof.integrations.trackers.entries import Entries, entries
from seqprof.integrations.trackers.to_mlflow import LONGEST_TAG
from seqprof.reports.formats import result_of

MISSING = "its package is not installed: pip install 'seqprof[{}]'"


@pytest.fixture(scope="module")
def found() -> Entries:
    return entries(result_of(cpu_cell(), "a test"))


def require(name: str, module: str) -> Any:
    return pytest.importorskip(module, reason=MISSING.format(name))


def test_tensorboard(found: Entries, tmp_path: Path) -> None:
    accumulator = require(
        "tensorboard", "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    send(found, Destination("tensorboard", str(tmp_path)))
    (folder,) = tmp_path.iterdir()
    read = accumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    assert set(read.Tags()["scalars"]) == {*found.scalars, *found.series}
    for name, value in found.scalars.items():
        (event,) = read.Scalars(name)
        assert event.value == pytest.approx(value)
    for name, points in found.series.items():
        assert [event.step for event in read.Scalars(name)] == [x for x, _ in points]
        values = [event.value for event in read.Scalars(name)]
        assert values == pytest.approx([value for _, value in points])
    (notes,) = read.Tensors("notes")
    assert notes.tensor_proto.string_val == [found.notes.encode()]
    metadata = read.SummaryMetadata("notes").plugin_data
    assert metadata.plugin_name == "text"


def test_tensorboard_shows_the_parameters(found: Entries, tmp_path: Path) -> None:
    loader = require(
        "tensorboard", "tensorboard.backend.event_processing.event_file_loader"
    ).EventFileLoader
    metadata = require("tensorboard", "tensorboard.plugins.hparams.metadata")
    send(found, Destination("tensorboard", str(tmp_path)))
    (path,) = tmp_path.glob("*/*tfevents*")
    contents = [
        metadata.parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
        for event in loader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME
    ]
    assert contents[0].hparams["spec.model.hidden_size"].number_value == 256
    assert contents[0].hparams["spec.model.name"].string_value == "lstm"


def test_mlflow(found: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = require("mlflow", "mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    uri = f"sqlite:///{tmp_path}/runs.db"
    long_notes = replace(found, notes=found.notes + "x" * 20_000)
    send(long_notes, Destination("mlflow", uri))
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("seqprof")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == found.title
    last = {name: points[-1][1] for name, points in found.series.items()}
    assert run.data.metrics == {**found.scalars, **last}
    assert run.data.params["spec.model.hidden_size"] == "256"
    assert run.data.tags["mlflow.note.content"].startswith(found.notes[:1000])
    assert len(run.data.tags["mlflow.note.content"]) <= LONGEST_TAG
    name, points = next(iter(found.series.items()))
    history = client.get_metric_history(run.info.run_id, name)
    assert sorted((metric.step, metric.value) for metric in history) == sorted(points)


def test_mlflow_keeps_odd_names_apart(
    found: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = require("mlflow", "mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    uri = f"sqlite:///{tmp_path}/runs.db"
    odd = replace(found, scalars={"lstm@cell": 1.0, "lstm(cell": 2.0}, series={})
    send(odd, Destination("mlflow", uri))
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("seqprof")
    (run,) = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics.values()) == [1.0, 2.0]


def test_wandb_offline(found: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("wandb", "wandb.proto.wandb_internal_pb2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    send(found, Destination("wandb", "a-project"))
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    kept = list(records(path))
    (run,) = (record.run for record in kept if record.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name, run.notes) == ("a-project", found.title, found.notes)
    config = {item.key: item.value_json for item in run.config.update}
    assert config["spec.model.hidden_size"] == "256"
    first, *rest = (_logged(record) for record in kept if record.HasField("history"))
    assert {k: v for k, v in first.items() if not k.startswith("_")} == {
        name.replace(".", "/"): value for name, value in found.scalars.items()
    }
    for name, points in found.series.items():
        key = name.replace(".", "/")
        assert [(at["timestep"], at[key]) for at in rest if key in at] == list(points)
    axes = {r.metric.name: r.metric.step_metric for r in kept if r.HasField("metric")}
    assert {axes[name.replace(".", "/")] for name in found.series} == {"timestep"}


def _logged(record: Any) -> dict[str, Any]:
    return {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for item in record.history.item
    }


def test_an_unknown_tracker_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SeqprofError, match=r"tensorbord.*tensorboard"):
        parse(["tensorbord"])


def test_a_missing_package_is_refused_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that the tracker left behind must not pass for its package."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(SeqprofError, match=re.escape("needs the package wandb")) as caught:
        parse(["wandb"])
    assert caught.value.hint == "pip install 'seqprof[wandb]'"
    assert caught.value.exit_code == EXIT_CANNOT_MEASURE


def test_where_to() -> None:
    require("tensorboard", "tensorboard")
    assert parse(["tensorboard", "tensorboard=a=b"]) == (
        Destination("tensorboard", None),
        Destination("tensorboard", "a=b"),
    )
