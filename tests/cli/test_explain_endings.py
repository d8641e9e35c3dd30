"""A model that ends its process costs `seqprof explain` its own claims; a signal costs the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MODEL = """
import ctypes, os, sys, time
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(256, 8), nn.LSTMCell(8, 8)
        self.head, self.what = nn.Linear(8, 256), what

    def forward(self, x):
        z = self.embedding(x)
        h = c = z.new_zeros(x.shape[0], 8)
        out = []
        for t in range(x.shape[1]):
            h, c = self.cell(z[:, t], (h, c))
            out.append(h)
        self.what("forward")
        if self.training and h.requires_grad:
            h.register_hook(self.note)
        return self.head(torch.stack(out, 1))

    def note(self, gradient):
        self.what("on shapes" if gradient.is_meta else "backward")

def segfault(): return Model(lambda at: ctypes.string_at(0))
def os_exit(): return Model(lambda at: os._exit(7))
def hangs(): return Model(lambda at: time.sleep(1e6))
def hangs_when_built(): time.sleep(1e6)
def hangs_in_training(): return Model(lambda at: at == "backward" and time.sleep(1e6))
def sys_exit(): return Model(lambda at: sys.exit(7))
def crashes_in_training(): return Model(lambda at: at == "backward" and ctypes.string_at(0))
def tells():
    def note(at):
        if at == "backward":
            open("trains", "w").close()
    return Model(note)
"""
SMALL = ("--set", "data.seq_len=16", "--set", "data.batch_size=4", "--set", "measure.threads=1")


def start(folder: Path, *words: str, budget: str, **env: str) -> subprocess.Popen[str]:
    (folder / "models.py").write_text(MODEL)
    command = [sys.executable, "-m", "seqprof", "explain", *words, *SMALL, "--budget", budget]
    return subprocess.Popen(
        [*command, "-o", "e.json"], cwd=folder, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=240)
    assert "Traceback" not in errors
    return process.returncode, errors


def claims(folder: Path) -> dict[int, dict[str, Any]]:
    """The first of each number."""
    found = json.loads((folder / "e.json").read_text())["claims"]
    return {claim["number"]: claim for claim in reversed(found)}


@pytest.mark.parametrize(
    ("model", "said"),
    [("segfault", "SIGSEGV"), ("os_exit", "exit code 7"), ("sys_exit", "7")],
)
def test_a_model_that_ends_its_process_costs_its_own_claims(
    model: str, said: str, tmp_path: Path
) -> None:
    code, errors = ended(start(tmp_path, f"models:{model}", "attention", budget="8s"))
    assert code == 1, errors
    for number in (1, 2):
        assert claims(tmp_path)[number]["verdict"] == "not_testable"
        assert said in claims(tmp_path)[number]["because"]
    _, other = json.loads((tmp_path / "e.json").read_text())["explained"]["candidates"]
    assert other["depth"] is not None or "budget" in other["depth_reason"]


def test_a_model_that_hangs_costs_its_own_claims(tmp_path: Path) -> None:
    """In its forward, and while it is built: the others' graphs are there, whatever that took."""
    words = ("attention", "models:hangs", "models:hangs_when_built")
    code, errors = ended(start(tmp_path, *words, budget="10s"))
    assert code == 1, errors
    document = json.loads((tmp_path / "e.json").read_text())
    first, *others = document["explained"]["candidates"]
    assert first["depth"] is not None
    for one in others:
        assert "had not ended after" in one["depth_reason"]
        assert "models.py" in one["depth_reason"]
    given = [(claim["number"], claim["verdict"]) for claim in document["claims"]]
    assert given[:3] == [(number, "not_seen") for number in (1, 2, 3)]
    assert given[6:] == [(7, "not_testable")] * 2


def test_a_first_model_that_hangs_leaves_the_claims_about_the_others(tmp_path: Path) -> None:
    code, errors = ended(start(tmp_path, "models:hangs", "attention", budget="10s"))
    assert code == 1, errors
    found = claims(tmp_path)
    for number in range(1, 7):
        assert found[number]["verdict"] == "not_testable"
        assert "models.py" in found[number]["because"]
    assert found[7]["verdict"] == "shown"


def test_what_hangs_in_training_alone_has_its_graph(tmp_path: Path) -> None:
    code, errors = ended(start(tmp_path, "models:hangs_in_training", budget="8s"))
    assert code == 1, errors
    found = claims(tmp_path)
    assert [found[number]["verdict"] for number in (1, 2)] == ["shown"] * 2
    assert found[4]["verdict"] == "not_testable"


def test_workers_that_do_not_start_leave_what_needs_none(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'seqprof.measure.workers.worker' in sys.orig_argv: os._exit(3)\n"
    )
    process = start(tmp_path, "models:tells", budget="8s", PYTHONPATH=str(tmp_path))
    code, errors = ended(process)
    assert code == 1, errors
    found = claims(tmp_path)
    assert [found[number]["verdict"] for number in (1, 2)] == ["shown"] * 2
    assert "did not start" in found[4]["because"]
    assert "exit code 3" in found[4]["because"]


def test_what_needs_no_training_is_shown_of_a_model_that_cannot_be_trained(tmp_path: Path) -> None:
    code, errors = ended(start(tmp_path, "models:crashes_in_training", budget="8s"))
    assert code == 1, errors
    found = claims(tmp_path)
    assert [found[number]["verdict"] for number in (1, 2)] == ["shown"] * 2
    assert found[4]["verdict"] == "not_testable"
    assert "SIGSEGV" in found[4]["because"]


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_a_signal_while_it_measures_keeps_what_there_is(
    signals: tuple[signal.Signals, ...], tmp_path: Path
) -> None:
    """The second comes while the first is heeded, or while results are written."""
    process = start(tmp_path, "models:tells", budget="60s")
    deadline = time.monotonic() + 120
    while not (tmp_path / "trains").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    code, errors = ended(process)
    # Or it ends the interpreter when all is written, which is the same to a shell.
    assert code in (128 + signals[0], -signals[0]), errors
    assert claims(tmp_path)[1]["verdict"] == "shown"
    untested = [c for c in claims(tmp_path).values() if c["verdict"] == "not_testable"]
    assert all(claim["because"] for claim in untested)
