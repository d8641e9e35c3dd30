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

MODEL = """
import ctypes, os, sys
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
def sys_exit(): return Model(lambda at: sys.exit(7))
def crashes_in_training(): return Model(lambda at: at == "backward" and ctypes.string_at(0))
def tells():
    def note(at):
        if at == "backward":
            open("trains", "w").close()
    return Model(note)
"""
SMALL = ("--set", "data.seq_len=16", "--set", "data.batch_size=4", "--set", "measure.threads=1")


def start(folder: Path, *words: str, budget: str) -> subprocess.Popen[str]:
    (folder / "models.py").write_text(MODEL)
    command = [sys.executable, "-m", "seqprof", "explain", *words, *SMALL, "--budget", budget]
    return subprocess.Popen(
        [*command, "-o", "e.json"], cwd=folder, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
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
