"""`seqprof run` as a user meets it: tables, JSON, mistakes, faults and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from command_line import SAMPLES, TINY, kinds, refusal, run_json, seqprof, widest
from real_results import RealResult

from seqprof.store import load


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    """A model of the user's own that does something at its n-th forward."""
    (tmp_path / "mine.py").write_text(
        "import pathlib\n"
        "import torch\n"
        "from torch import nn\n"
        "class Model(nn.Module):\n"
        "    def __init__(self, after, action):\n"
        "        super().__init__()\n"
        "        self.embedding = nn.Embedding(256, 8)\n"
        "        self.cell = nn.GRUCell(8, 8)\n"
        "        self.head = nn.Linear(8, 256)\n"
        "        self.forwards, self.after, self.action = 0, after, action\n"
        "    def forward(self, x):\n"
        "        self.forwards += 1\n"
        "        if self.forwards > self.after:\n"
        "            if self.action == 'raise': raise ValueError('nothing goes any more')\n"
        "            if self.action == 'memory': raise torch.OutOfMemoryError('no room')\n"
        "            pathlib.Path(self.action).write_text('here')\n"
        "        h, outputs = torch.zeros(x.shape[0], 8), []\n"
        "        for x_t in self.embedding(x).unbind(1):\n"
        "            h = self.cell(x_t, h)\n"
        "            outputs.append(h)\n"
        "        return self.head(torch.stack(outputs, 1))\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(
        "model: {target: 'mine:Model', kwargs: {after: 0, action: raise}}\n"
        "data: {seq_len: 16, batch_size: 2}\n"
        "measure: {pairs: 5, max_s: 2, threads: 1}\n"
    )
    return path


def test_tables_fit_80_columns_in_a_pipe_and_the_file_holds_the_same_run(
    real_run: RealResult,
) -> None:
    assert widest(real_run.stdout) <= 80
    assert "\x1b" not in real_run.stdout
    assert "…" not in real_run.stdout
    for words in ("Phases of a step", "Latency of each timestep", "BPTT", "marks change a step"):
        assert words in real_run.stdout
    assert load(real_run.path).trials[0].workload.timesteps == 24
    assert not list(real_run.path.parent.glob("*.tmp"))
    shown = seqprof("show", real_run.path)
    assert shown.stdout == real_run.stdout


def test_json_is_all_that_stdout_holds_and_it_fits_its_schema(real_json: RealResult) -> None:
    document = json.loads(real_json.stdout)
    schema = json.loads(seqprof("schema", "recording").stdout)
    jsonschema.validate(document, schema)
    latencies = [row for row in document["rows"] if row.get("timestep") is not None]
    assert {row["phase"] for row in latencies} == {"forward", "backward"}
    assert {row["timestep"] for row in latencies} == set(range(24))
    assert all(row["method"] for row in document["rows"])


def test_quiet_is_shorter_and_still_tells_the_step(tiny: Path, real_run: RealResult) -> None:
    quiet = seqprof("run", tiny, "-q")
    assert quiet.returncode == 0
    assert len(quiet.stdout.splitlines()) == 1
    assert "step" in quiet.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "model.hiden_size=3"], "hidden_size"),
        (["--set", "measure.device=cuda:7"], "no device 'cuda:7'"),
        (["-o", "no/such/folder/run.json"], "no folder"),
        (["--set", "data.path=nowhere.txt"], "nowhere.txt"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(
    tiny: Path, arguments: list[str], words: str
) -> None:
    done = refusal("run", tiny, *arguments)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_typo_names_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("model:\n  name: lstm\n  hiden_size: 8\n")
    done = refusal("run", path)
    assert done.returncode == 2
    assert f"{path}:3:3" in done.stderr
    assert "did you mean" in done.stderr.lower()


def test_an_error_in_the_users_model_names_its_line(failing: Path) -> None:
    done = seqprof("run", failing)
    assert done.returncode == 2
    assert "mine.py:14" in done.stderr
    assert "nothing goes any more" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("action", "kind"), [("raise", "step_failed"), ("memory", "out_of_memory")]
)
def test_a_fault_in_the_middle_keeps_what_was_measured(
    failing: Path, action: str, kind: str
) -> None:
    document = run_json(
        failing, "--set", f"model.kwargs={{after: 24, action: {action}}}", exit_code=1
    )
    assert kind in kinds(document)
    assert document["recording"]["trials"][0]["steps"]
    assert any(kind in caveat["kind"] for caveat in document["summary"]["caveats"])


def test_ctrl_c_keeps_the_steps_measured_so_far(failing: Path, tmp_path: Path) -> None:
    sign, output = tmp_path / "sign", tmp_path / "run.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "seqprof", "run", str(failing), "-o", str(output)),
            *("--set", f"model.kwargs={{after: 30, action: {sign}}}"),
            *("--set", "measure.pairs=1000000", "--set", "measure.max_s=600"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    try:
        deadline = time.monotonic() + 120
        while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "nterrupt" in stdout
    trial = load(output).trials[0]
    assert [incident.kind for incident in trial.incidents] == ["interrupted"]
    assert len([step for step in trial.steps if step.kind == "bare"]) >= 1


@pytest.mark.parametrize("again_after_s", [0.0, 0.03, 0.2])
def test_a_second_ctrl_c_loses_nothing(failing: Path, tmp_path: Path, again_after_s: float) -> None:
    """It comes while the sampler ends, the trace is closed, the file is written."""
    sign, output = tmp_path / "sign", tmp_path / "run.json"
    words = ("--set", f"model.kwargs={{after: 40, action: {sign}}}", "--set", "measure.max_s=600")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "seqprof", "run", str(failing), "-o", str(output), *words),
            *("--set", "measure.pairs=1000000"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(again_after_s)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    # Or it ends the interpreter when all is written, which is 130 to a shell as well.
    assert process.returncode in (130, -signal.SIGINT), stderr
    assert "Traceback" not in stderr
    trial = load(output).trials[0]
    assert trial.steps
    assert {incident.kind for incident in trial.incidents} == {"interrupted"}


def test_help_show_and_schema_need_no_torch(
    tiny: Path, tmp_path: Path, real_run: RealResult
) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for arguments in (
        ["--help"],
        ["run", "--help"],
        ["-V"],
        ["list"],
        ["show", str(real_run.path)],
        ["schema", "spec"],
        ["schema", "recording"],
    ):
        done = seqprof(*arguments, env=env)
        assert done.returncode == 0, (arguments, done.stderr)
    assert seqprof("run", tiny, env=env).returncode != 0  # the trap works


def test_the_installed_script_and_the_module_are_the_same() -> None:
    script = Path(sys.executable).with_name("seqprof")
    if not script.exists():
        pytest.skip("seqprof is not installed here, only importable")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert by_script.stdout == seqprof("--version").stdout


def test_the_readmes_main_job_shortened(tmp_path: Path) -> None:
    done = seqprof(
        *("run", SAMPLES / "lstm.yaml", "--set", "measure.pairs=3"),
        *("--set", "data.seq_len=32", "--set", "measure.max_s=1"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "lstm (cell) · hidden 256 · layers 1: T = 32, batch 16" in done.stdout
