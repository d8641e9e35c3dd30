"""Every ending is an ending: what was measured is there, and the report says what ended it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MODEL = """
import ctypes, os, signal, sys, threading, time
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, what, at=40):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(256, 8), nn.LSTMCell(8, 8)
        self.head = nn.Linear(8, 256)
        self.what, self.at, self.calls = what, at, 0

    def forward(self, x):
        self.calls += 1
        z = self.embedding(x)
        h = c = z.new_zeros(x.shape[0], 8)
        out = []
        for t in range(x.shape[1]):
            h, c = self.cell(z[:, t], (h, c))
            out.append(h)
        if self.calls == self.at:
            getattr(self, self.what)()
        return self.head(torch.stack(out, 1))

    def nothing(self): pass
    def sys_exit(self): sys.exit(7)
    def os_exit(self): os._exit(0)
    def base_exception(self): raise BaseException("odd \\x1b[31m")
    def segfault(self): ctypes.string_at(0)
    def killed(self): os.kill(os.getpid(), signal.SIGKILL)
    def terminated(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)
    def streams(self): os.close(1); os.close(2)
    def folder(self): os.chdir("/")
    def threads(self): torch.set_num_threads(torch.get_num_threads() + 1)
    def forks(self): os.fork()
    def prints(self): print("Z" * 100_000)
    def hangs(self): time.sleep(10**6)
    def computes(self):
        open("computes", "w").close()
        sum(range(10**10))  # which looks at no signal before its end
"""


def start(
    what: str, tmp_path: Path, *arguments: str, at: int = 40, errors: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    (tmp_path / "ending.py").write_text(MODEL)
    config = tmp_path / "ending.yaml"
    config.write_text(
        f"model: {{target: 'ending:Model', kwargs: {{what: {what}, at: {at}}}}}\n"
        "data: {kind: text, seq_len: 8, batch_size: 2}\n"
        "measure: {pairs: 60, warmup: 2, threads: 1}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "seqprof", "run", str(config), "-o", "run.json", *arguments],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
        text=True, env={**os.environ, "SEQPROF_TEST": str(tmp_path)},
    )  # fmt: skip


def trial(tmp_path: Path) -> dict[str, Any]:
    document = json.loads((tmp_path / "run.json").read_text())
    found: dict[str, Any] = document["recording"]["trials"][0]
    return found


def left_alive(tmp_path: Path) -> list[int]:
    """Processes that still have the mark of this test in their environment."""
    mark, found = f"SEQPROF_TEST={tmp_path}\0".encode(), []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{number}/environ").read_bytes()
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mark in environment and state != "Z":
            found.append(int(number))
    return found


Ended = dict[str, tuple[int, str, str, Path]]
ENDINGS = {
    "sys_exit": ("step_failed", "SystemExit: 7"),
    "os_exit": ("killed", "exit code 0"),
    "segfault": ("killed", "SIGSEGV in ending.py"),
    "terminated": ("interrupted", "SIGTERM"),
}
HARMLESS = ("streams", "forks", "threads")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Exit code, stdout, stderr and folder of each run; all run at once, which takes less time."""
    folders = {what: tmp_path_factory.mktemp(what) for what in (*ENDINGS, *HARMLESS)}
    running = {
        what: start(what, folder, *(["--json"] if what in HARMLESS else []))
        for what, folder in folders.items()
    }
    found = {}
    for what, process in running.items():
        output, errors = process.communicate(timeout=300)
        found[what] = (process.returncode, output, errors, folders[what])
    return found


@pytest.mark.parametrize("what", ENDINGS)
def test_what_was_measured_before_the_end_is_kept(what: str, ended: Ended) -> None:
    code, output, errors, folder = ended[what]
    kind, detail = ENDINGS[what]
    assert code != 0
    assert "Traceback" not in errors
    assert "\x1b" not in output + errors
    found = trial(folder)
    assert found["steps"]
    assert any(one["kind"] == kind and detail in one["detail"] for one in found["incidents"])
    assert left_alive(folder) == []


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_no_harm_ends_well(what: str, ended: Ended) -> None:
    code, output, errors, folder = ended[what]
    assert code == 0, errors
    assert json.loads(output)["recording"]["trials"][0]["steps"]
    assert trial(folder)["steps"]


def test_changed_threads_are_told(ended: Ended) -> None:
    incidents = trial(ended["threads"][3])["incidents"]
    [changed] = [one for one in incidents if one["kind"] == "process_changed"]
    assert "torch's threads: 1 → 2" in changed["detail"]


def test_a_signal_from_outside_ends_a_model_that_hangs(tmp_path: Path) -> None:
    process = start("hangs", tmp_path, at=1)
    wait_for_child(process)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    assert "SIGTERM" in errors
    assert left_alive(tmp_path) == []


def test_ctrl_c_during_a_long_step_is_answered_and_a_second_ends_at_once(tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    process = start("computes", tmp_path, at=1, errors=terminal)
    os.close(terminal)
    deadline = time.monotonic() + 60
    while not (tmp_path / "computes").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)  # into the call
    process.send_signal(signal.SIGINT)
    shown = read_until(ours, b"Ctrl-C again", seconds=10)
    assert b"Ctrl-C again" in shown
    time.sleep(1.1)  # sooner, it is the same one, told by the terminal to all
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 128 + signal.SIGINT
    os.close(ours)
    assert left_alive(tmp_path) == []


def read_until(terminal: int, words: bytes, seconds: float) -> bytes:
    """What was shown, up to ``words`` or until so long nothing came."""
    shown = b""
    while words not in shown and select.select([terminal], [], [], seconds)[0]:
        shown += os.read(terminal, 1 << 16)
    return shown


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = start("hangs", tmp_path, at=1)
    wait_for_child(process)
    process.kill()
    process.communicate(timeout=100)
    deadline = time.monotonic() + 10
    while left_alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_alive(tmp_path) == []


def wait_for_child(process: subprocess.Popen[str]) -> None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while not children.read_text().split() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children.read_text().split()
