"""Runs seqprof as a user does: in a subprocess, piped, 80 columns wide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "sample_configs"

#: A run of a second or two.
TINY = """\
model: {name: lstm, execution: cell, hidden_size: 16}
data: {seq_len: 24, batch_size: 4}
measure: {pairs: 4, max_s: 2, threads: 1}
"""


def seqprof(
    *arguments: str | Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "seqprof", *map(str, arguments)],
        env=env or dict(os.environ),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def run_json(
    *arguments: str | Path, env: dict[str, str] | None = None, exit_code: int = 0
) -> dict[str, Any]:
    """`seqprof run … --json`; the whole of stdout must be the document."""
    done = seqprof("run", *arguments, "--json", env=env)
    assert done.returncode == exit_code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def kinds(document: dict[str, Any]) -> set[str]:
    """Kinds of the incidents that a run recorded."""
    return {incident["kind"] for incident in document["recording"]["trials"][0]["incidents"]}
