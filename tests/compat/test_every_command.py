"""Every command end to end, for each torch, Python and library version that is supported.

`.ci/matrix` runs this selection (`pytest -m compat`) in one environment after another. It needs of
the test extra only pytest, pytest-xdist and jsonschema.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [pytest.mark.compat, pytest.mark.slow]

#: A run of a second or two, of any model.
SHORT = (
    *("--seq-len", "16", "--hidden", "16", "--batch", "4"),
    *("--set", "measure.pairs=3", "--set", "measure.max_s=1", "--set", "measure.threads=1"),
)


def seqprof(
    *words: str | Path, cwd: Path | None = None, exit_code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does; a traceback is a failure whatever the exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Profiler clears events" not in done.stderr, done.stderr  # torch 2.11, unless they stay
    assert done.returncode == exit_code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one recording of each kind, made by this torch."""
    made = tmp_path_factory.mktemp("compat")
    seqprof(
        *("run", "lstm", *SHORT, "-o", "run.json", "-o", "run.html", "-o", "run.prom", "-q"),
        *("--trace", "trace.json.gz", "--append", "history.jsonl"),
        cwd=made,
    )
    seqprof("run", "lstm@fused", *SHORT, "-o", "fused.json", "-q", cwd=made)
    words = ("--seq-len", "16", "--hidden", "16", "--batch", "4", "-q")
    seqprof("compare", "lstm", "attention", "--rounds", "6", *words, "-o", "compare.json", cwd=made)
    seqprof(
        *("scale", "gru@cell", "--seq-len", "16:32", "--hidden", "16", "--budget", "8s", "-q"),
        *("-o", "scale.json"),
        cwd=made,
    )
    return made


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_run_has_every_figure_that_a_cpu_can_give(folder: Path) -> None:
    run = document(folder / "run.json")
    trial = run["recording"]["trials"][0]
    assert run["recording"]["environment"]["torch"] == str(torch.__version__)
    kinds = {incident["kind"] for incident in trial["incidents"]}
    assert not kinds, f"this torch cannot do something: {trial['incidents']}"
    measured = {(r["metric"], r["phase"]) for r in run["rows"] if r["value"] is not None}
    for phase in ("data", "forward", "loss", "backward", "optimizer"):
        for metric in ("phase_time", "core_busy_fraction", "peak_memory"):
            assert (metric, phase) in measured
    for phase in ("forward", "backward"):
        latencies = [
            row["timestep"]
            for row in run["rows"]
            if row["metric"] == "timestep_latency_p50" and row["phase"] == phase
        ]
        assert latencies == list(range(16))
    assert ("depth_ops", None) in measured


def test_a_fused_run_derives_what_one_more_timestep_costs(folder: Path) -> None:
    run = document(folder / "fused.json")
    costs = run["summary"]["marginal"]
    assert {cost["phase"] for cost in costs} >= {"forward", "backward"}
    caveats = {caveat["kind"]: caveat for caveat in run["summary"]["caveats"]}
    assert "lstm@cell" in caveats["one_call"]["remedy"]


@pytest.mark.parametrize("name", ["run", "fused", "compare", "scale"])
def test_each_recording_is_shown_in_each_format(name: str, folder: Path) -> None:
    files = [f"shown_{name}{ending}" for ending in (".txt", ".csv", ".md", ".html")]
    seqprof("show", f"{name}.json", *(word for f in files for word in ("-o", f)), cwd=folder)
    assert all(len((folder / file).read_text()) > 200 for file in files)


@pytest.mark.parametrize("what", ["recording", "compare", "scale"])
def test_documents_fit_their_schemas(what: str, folder: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(seqprof("schema", what).stdout)
    jsonschema.validate(document(folder / f"{'run' if what == 'recording' else what}.json"), schema)


def test_a_recording_of_another_torch_is_read_and_compared(folder: Path) -> None:
    other = Path(__file__).parents[1] / "data" / "lstm.json"
    made_by = document(other)["recording"]["environment"]["torch"]
    assert "lstm" in seqprof("show", other).stdout
    differences = seqprof("diff", other, "run.json", "--force", "--json", cwd=folder).stdout
    assert made_by == str(torch.__version__) or made_by in differences


def test_history_trace_diff_and_chrome(folder: Path) -> None:
    assert "step_time" in seqprof("history", "history.jsonl", "--json", cwd=folder).stdout
    assert "forward" in seqprof("trace", "trace.json.gz", cwd=folder).stdout
    assert seqprof("diff", "run.json", "run.json", cwd=folder).stdout
    events = json.loads(seqprof("show", "run.json", "-f", "chrome", cwd=folder).stdout)
    assert events["traceEvents"]


def test_depth_of_every_kind_of_model_is_the_same_law_on_every_torch() -> None:
    words = ("lstm@cell", "gru@fused", "attention", "mingru", "--seq-len", "16:64", "--json")
    laws = {
        model["recorded"]["model"]: model["depth_law"]["text"]
        for model in json.loads(seqprof("depth", *words).stdout)["models"]
    }
    assert laws["lstm@cell"] == "15·T - 2"
    assert re.fullmatch(r"\d+·T [+-] \d+", laws["gru@fused"])
    assert "T" not in laws["attention"]
    assert "log2 T" in laws["mingru@parallel"]


def test_precision_checkpointing_and_compile_work_or_say_why_not() -> None:
    words = ("--set", "train.precision=bf16", "--set", "train.checkpoint=true")
    seqprof("run", "gru", *SHORT, *words, "-q")
    compiled = json.loads(
        seqprof("run", "attention", *SHORT, "--set", "train.compile=true", "--json").stdout
    )
    trial = compiled["recording"]["trials"][0]
    incidents = {incident["kind"] for incident in trial["incidents"]}
    assert trial["workload"]["compiled"] or any("compile" in kind for kind in incidents), incidents


def test_short_commands(tmp_path: Path) -> None:
    for words in (["--version"], ["--help"], ["list"], ["list", "formats"], ["list", "configs"]):
        assert seqprof(*words).stdout
    assert seqprof("init", "gru", "-o", "my.yaml", cwd=tmp_path).returncode == 0
    seqprof("run", "my.yaml", *SHORT, "-q", cwd=tmp_path)
    assert seqprof("dashboard", "--help").stdout
    assert "torch" in seqprof("doctor").stdout


def test_a_mistake_is_one_message(tmp_path: Path) -> None:
    assert "did you mean" in seqprof("run", "lstn", exit_code=2).stderr
    assert seqprof("run", "lstm", "--set", "measure.device=cuda:7", exit_code=1).stderr
