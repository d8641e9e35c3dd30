"""One real run, comparison and scaling for all tests that only read them, whatever the worker."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import TINY, seqprof

#: Made-up data and the smallest models: nothing is asserted of their speed.
_SMALL = ("--set", "model.hidden_size=16", "--set", "data.kind=synthetic", "--batch", "2")


@dataclass(frozen=True)
class RealResult:
    """What a command printed, and the file that it wrote."""

    path: Path
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The stored document."""
        return msgspec.json.decode(self.path.read_bytes())


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def once(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that ``make`` fills, by whichever worker comes first."""
    made = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = folder / f"{name}.unfinished"
            unfinished.mkdir(exist_ok=True)
            make(unfinished)
            unfinished.rename(made)
    return made


def _result(shared: Path, name: str, *words: str | Path) -> RealResult:
    def make(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(TINY)
        done = seqprof(*words, "-o", "result.json", cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")
        (folder / "stderr").write_text(done.stderr, encoding="utf-8")

    folder = once(shared, name, make)
    return RealResult(
        path=folder / "result.json",
        stdout=(folder / "stdout").read_text(encoding="utf-8"),
        stderr=(folder / "stderr").read_text(encoding="utf-8"),
    )


@pytest.fixture(scope="session")
def real_run(shared_folder: Path) -> RealResult:
    """`seqprof run tiny.yaml`: an LSTM of cells, T = 24, batch 4, 4 pairs, on the CPU."""
    return _result(
        shared_folder, "real-run", "run", "tiny.yaml",
        "-o", "result.csv", "-o", "result.prom", "--append", "history.jsonl",
    )  # fmt: skip


@pytest.fixture(scope="session")
def real_json(shared_folder: Path) -> RealResult:
    """`seqprof run tiny.yaml --json`: stdout is the document; logged to TensorBoard if it is there.

    What TensorBoard got is in the folder ``logs`` beside the file.
    """

    def make(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(TINY)
        log = ("--log", "tensorboard=logs") if find_spec("tensorboard") else ()
        done = seqprof("run", "tiny.yaml", "--json", *log, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "result.json").write_text(done.stdout, encoding="utf-8")
        (folder / "stderr").write_text(done.stderr, encoding="utf-8")

    folder = once(shared_folder, "real-json", make)
    text = (folder / "result.json").read_text(encoding="utf-8")
    errors = (folder / "stderr").read_text(encoding="utf-8")
    return RealResult(path=folder / "result.json", stdout=text, stderr=errors)


@pytest.fixture(scope="session")
def real_compare(shared_folder: Path) -> RealResult:
    """`seqprof compare lstm gru attention` at T = 16 and 32, batch 2, 6 rounds."""
    return _result(
        shared_folder, "real-compare", "compare", "lstm", "gru", "attention", *_SMALL,
        "--seq-len", "16,32", "--rounds", "6", "--append", "history.jsonl",
    )  # fmt: skip


@pytest.fixture(scope="session")
def real_scale(shared_folder: Path) -> RealResult:
    """`seqprof scale lstm` at T = 8 and 16, batch 2; logged likewise."""
    log = ("--log", "tensorboard=logs") if find_spec("tensorboard") else ()
    return _result(
        shared_folder, "real-scale", "scale", "lstm", *_SMALL,
        "--seq-len", "8,16", "--budget", "8s", *log,
    )  # fmt: skip
