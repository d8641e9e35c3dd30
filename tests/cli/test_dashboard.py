"""`seqprof dashboard`, as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from command_line import seqprof

NAMES = {
    "datasources/seqprof.yaml",
    "dashboards/seqprof.yaml",
    "dashboards/seqprof-metrics.json",
    "dashboards/seqprof-run.json",
}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_writes_lists_and_says_what_is_next(tmp_path: Path) -> None:
    done = seqprof("dashboard", "grafana", "-o", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = tree(tmp_path / "made")
    assert set(found) == NAMES
    for name in NAMES:
        assert f"written: made/{name}" in done.stdout
    assert f"GF_PATHS_PROVISIONING={tmp_path / 'made'}" in done.stdout
    assert str(tmp_path / "made/dashboards").encode() in found["dashboards/seqprof.yaml"]


def test_it_overwrites_only_when_told(tmp_path: Path) -> None:
    first = seqprof("dashboard", "grafana", "-o", tmp_path / "made")
    assert first.returncode == 0, first.stderr
    mine = tmp_path / "made/dashboards/seqprof-run.json"
    mine.write_text("{}")
    refused = seqprof("dashboard", "grafana", "-o", tmp_path / "made")
    assert refused.returncode == 2
    assert str(mine) in refused.stderr
    assert "--force" in refused.stderr
    assert mine.read_text() == "{}"
    forced = seqprof("dashboard", "grafana", "-o", tmp_path / "made", "--force")
    assert forced.returncode == 0, forced.stderr
    assert json.loads(mine.read_text())["uid"] == "seqprof-run"
    assert set(tree(tmp_path / "made")) == NAMES  # nothing temporary is left


def test_one_of_the_files_is_enough_to_refuse_all(tmp_path: Path) -> None:
    (tmp_path / "datasources").mkdir()
    (tmp_path / "datasources/seqprof.yaml").write_text("mine")
    refused = seqprof("dashboard", "grafana", "-o", tmp_path)
    assert refused.returncode == 2
    assert tree(tmp_path) == {"datasources/seqprof.yaml": b"mine"}


def test_a_folder_that_is_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = seqprof("dashboard", "grafana", "-o", tmp_path / "file")
    assert refused.returncode == 2
    assert "cannot write" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_urls_are_taken(tmp_path: Path) -> None:
    done = seqprof(
        "dashboard", "grafana", "-o", tmp_path / "made",
        "--prometheus-url", "http://metrics:9090", "--run-url", "http://files/run.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sources = (tmp_path / "made/datasources/seqprof.yaml").read_text()
    assert "url: http://metrics:9090" in sources
    assert "- http://files/" in sources


def test_it_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not wanted')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = seqprof("dashboard", "grafana", "-o", tmp_path / "made", env=environment)
    assert done.returncode == 0, done.stderr


def test_without_a_folder_it_prints() -> None:
    one = seqprof("dashboard", "grafana", "metrics")
    assert (one.returncode, one.stderr) == (0, "")
    assert json.loads(one.stdout)["uid"] == "seqprof-metrics"
    both = seqprof("dashboard", "grafana", "--run-url", "https://host/r.json")
    assert [board["uid"] for board in json.loads(both.stdout)] == ["seqprof-metrics", "seqprof-run"]
    assert "https://host/r.json" in both.stdout
    wrong = seqprof("dashboard", "grafana", "metric")
    assert wrong.returncode == 2
    assert "did you mean 'metrics'" in wrong.stderr
