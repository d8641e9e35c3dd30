"""Scripts that know nothing of seqprof, and running them with and without it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from seqprof import store
from seqprof.recording import ForeignLoop, Recording, Trial

OWN = Path(__file__).parent / "attach" / "scripts"
#: Unmodified scripts with known truth; not part of the repository.
SHARED = Path(__file__).parents[2] / "shared" / "scripts"


@dataclass(frozen=True)
class Watched:
    """What a script printed, how it ended, and what was recorded of it."""

    stdout: str
    stderr: str
    exit_code: int
    recording: Recording | None

    @property
    def trial(self) -> Trial:
        assert self.recording is not None, self.stderr
        return self.recording.trials[0]

    @property
    def loop(self) -> ForeignLoop:
        assert self.trial.loop is not None
        return self.trial.loop


def environment(**extra: str) -> dict[str, str]:
    """One thread: the number of threads is part of a loss, and of how busy a machine is."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **extra}


def bare(
    script: Path, *args: str, stdin: str = "", **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a script without seqprof."""
    return subprocess.run(
        [sys.executable, script.name, *args],
        input=stdin, capture_output=True, text=True, env=environment(**extra),
        cwd=script.parent, timeout=120, check=False,
    )  # fmt: skip


def watch(
    folder: Path, command: list[str], *options: str, cwd: Path, stdin: str = "", **extra: str
) -> Watched:
    """Run ``command`` under ``seqprof exec``."""
    out = folder / "run.json"
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", "exec", "-o", str(out), *options, "--", *command],
        input=stdin, capture_output=True, text=True, env=environment(**extra),
        cwd=cwd, timeout=120, check=False,
    )  # fmt: skip
    recording = store.load(out) if out.exists() else None
    return Watched(done.stdout, done.stderr, done.returncode, recording)


def watch_script(folder: Path, script: Path, *args: str, stdin: str = "", **extra: str) -> Watched:
    """Run a script under ``seqprof exec`` with the defaults."""
    command = [sys.executable, script.name, *args]
    return watch(folder, command, cwd=script.parent, stdin=stdin, **extra)


def shared_script(name: str) -> Path:
    """A shared script, or the test is skipped."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def final_loss(output: str) -> str:
    """The line that a script ends with."""
    return next(line for line in output.splitlines() if "final loss" in line)
