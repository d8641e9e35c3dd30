"""`measure.max_s` bounds the warm-up and the pairs: one of each is taken, however long it lasts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from seqprof.measure.outcome import longest_first_step_s
from seqprof.spec import Spec

MODEL = """
import time, torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(256, 8), nn.Linear(8, 256)

    def forward(self, x):
        time.sleep(0.1)
        return self.head(self.embedding(x))
"""


def test_steps_longer_than_max_s_are_taken_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(MODEL)
    (tmp_path / "slow.yaml").write_text(
        "model: {target: 'slow:Model'}\ndata: {kind: text, seq_len: 8, batch_size: 2}\n"
        "measure: {pairs: 6, warmup: 4, max_s: 0.05, profile: false, sweep: false}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", "run", "slow.yaml", "-o", "slow.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [trial] = json.loads((tmp_path / "slow.json").read_text())["recording"]["trials"]
    assert len([step for step in trial["steps"] if step["kind"] == "bare"]) == 1
    assert len(trial["warmup_wall_s"]) == 1
    assert "Few pairs" in done.stdout


HANGS = """
import time
from seqprof.errors import SeqprofError
from seqprof.measure.endings import conduct
from seqprof.measure.outcome import WARMING_UP, NoProgress

def hang_in_a_step(progress):
    progress.stage("building the model", None)
    time.sleep(1.5)  # building may take its time
    progress.stage(WARMING_UP, 3)
    time.sleep(1e6)

try:
    conduct(hang_in_a_step, NoProgress(), limit_s=0.05, first_step_s=1.0)
except SeqprofError as error:
    print(error.message)
"""


def test_a_first_step_without_an_end_is_ended_and_says_where_it_hangs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ended before a single step was measured: no sign of life for" in done.stdout
    assert "hang_in_a_step" in done.stdout


def test_what_counts_as_a_hang_follows_max_s_and_the_time_to_compile() -> None:
    def longest(**changes: object) -> float:
        measure = {"max_s": changes.pop("max_s", 15.0)}
        spec = {"model": {"name": "lstm"}, "measure": measure, "train": changes}
        return longest_first_step_s(Spec.model_validate(spec))

    assert longest() == 20 * 15.0
    assert longest(max_s=60.0) == 20 * 60.0
    assert longest(max_s=0.05) == 60.0  # a busy machine has its time
    assert longest(compile=True, compile_timeout_s=100.0) == 20 * 15.0 + 100.0
