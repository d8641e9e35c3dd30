"""`measure.max_s` bounds the warm-up and the pairs: one of each is taken, however long it lasts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
