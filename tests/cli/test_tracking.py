"""`--log`, as a user runs it. What is logged: tests/integrations/."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import TINY, refusal, seqprof
from real_results import RealResult

NOT_INSTALLED = "its package is not installed: pip install 'seqprof[{}]'"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def require(name: str) -> None:
    if find_spec(name) is None:
        pytest.skip(NOT_INSTALLED.format(name))


@pytest.mark.parametrize("command", ["run", "scale"])
def test_a_tracker_that_does_not_exist_is_refused_at_once(command: str, config: Path) -> None:
    done = refusal(command, config, "--log", "tensorbord")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "tensorboard" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_refused_before_measuring(config: Path, tmp_path: Path) -> None:
    if find_spec("mlflow") is not None:
        pytest.skip("mlflow is installed here")
    done = refusal("run", config, "--log", "mlflow", "-o", tmp_path / "run.json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "pip install 'seqprof[mlflow]'" in done.stderr
    assert not (tmp_path / "run.json").exists()


def test_a_run_is_logged_and_stdout_stays_the_document(real_json: RealResult) -> None:
    require("tensorboard")
    document = json.loads(real_json.stdout)
    assert "logged to tensorboard" in real_json.stderr
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (real_json.path.parent / "logs").iterdir()
    read = EventAccumulator(str(folder)).Reload()
    (step,) = read.Scalars("step_time_s")
    assert step.value == pytest.approx(document["summary"]["step"]["value"])


def test_a_scaling_is_logged_along_its_lengths(real_scale: RealResult) -> None:
    require("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (real_scale.path.parent / "logs").iterdir()
    read = EventAccumulator(str(folder)).Reload()
    (name,) = (tag for tag in read.Tags()["scalars"] if tag.startswith("step_time_s/"))
    assert [event.step for event in read.Scalars(name)] == [8, 16]


def test_a_tracker_that_fails_keeps_the_results(config: Path, tmp_path: Path) -> None:
    require("tensorboard")
    (tmp_path / "file").write_text("")
    done = seqprof(
        "run", config, "--log", f"tensorboard={tmp_path / 'file'}", "-o", tmp_path / "run.json"
    )
    assert done.returncode == 4
    assert "Phases of a step" in done.stdout
    assert json.loads((tmp_path / "run.json").read_text())["summary"]["step"]["value"] > 0
    assert "warning: not logged to tensorboard" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("package", "destination", "settings"),
    [
        ("mlflow", "mlflow=sqlite:///{folder}/runs.db", {}),
        ("wandb", "wandb", {"WANDB_MODE": "offline", "WANDB_DIR": "{folder}"}),
    ],
    ids=["mlflow", "wandb"],
)
def test_other_trackers_leave_stdout_alone(
    package: str, destination: str, settings: dict[str, str], config: Path, tmp_path: Path
) -> None:
    require(package)
    environment = {key: value.format(folder=tmp_path) for key, value in settings.items()}
    done = seqprof(
        "run", config, "--json", "--log", destination.format(folder=tmp_path),
        env={**os.environ, **environment}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recording"]["kind"] == "run"
    assert f"logged to {package}" in done.stderr
