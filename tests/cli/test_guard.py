"""Output that fails, input that is damaged: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import seqprof

DATA = Path(__file__).parents[1] / "data"


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command as a shell runs it, with its redirections; ``seqprof`` is the one here."""
    return subprocess.run(
        ["bash", "-c", command.replace("seqprof", f"{sys.executable} -m seqprof", 1)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    "redirection", [">/dev/full", ">&-", "-f json >/dev/full", "-f json >&-", "-o /dev/full"]
)
def test_output_that_fails(redirection: str, tmp_path: Path) -> None:
    done = shell(f"seqprof show {DATA}/lstm.json {redirection}", tmp_path)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) in (1, 2)
    assert done.stderr.startswith("seqprof: ")


def test_reader_that_goes_away(tmp_path: Path) -> None:
    done = shell(f"seqprof show {DATA}/lstm.json -f csv | head -1", tmp_path)
    assert done.stderr == ""


def test_closed_errors_do_not_get_into_a_file(tmp_path: Path) -> None:
    done = shell(f"seqprof show {DATA}/lstm.json -f csv -o out.csv 2>&-", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "out.csv").read_text().startswith("run,kind,")


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "seqprof: interrupted (SIGTERM)"),
        (signal.SIGHUP, 129, "seqprof: interrupted (SIGHUP)"),
        (signal.SIGINT, 130, "seqprof: interrupted"),
    ],
)
def test_a_signal_ends_any_command_with_a_word_and_its_code(
    number: signal.Signals, code: int, said: str, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "seqprof", "show", "-"],
        cwd=tmp_path, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    with process.stdin as source:
        source.write(" " * (1 << 17))  # a pipe holds half of it: it is being read
        source.flush()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.startswith(said)
    assert len(errors.strip().splitlines()) == 1


def test_a_signal_while_it_starts_has_a_word_too(tmp_path: Path) -> None:
    number = signal.SIGTERM  # of SIGINT, Python itself prints a traceback before we begin
    for tenths in range(8):
        process = subprocess.Popen(
            [sys.executable, "-m", "seqprof", "show", "-"],
            cwd=tmp_path, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(0.1 * tenths)
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            process.kill()
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        errors = process.stderr.read()
        process.stderr.close()
        assert process.returncode in (-number, 128 + number)
        assert (process.returncode == -number) == (not errors)  # the interpreter had not begun
        assert "Traceback" not in errors


def test_name_that_is_too_long(tmp_path: Path) -> None:
    done = seqprof("show", DATA / "lstm.json", "-o", "n" * 300 + ".json", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def damaged(tmp_path: Path, change: object, *path: object) -> Path:
    document = json.loads((DATA / "lstm.json").read_text())
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = change
    file = tmp_path / "damaged.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (1e300, ("recording", "trials", 0, "steps", 0, "wall_s")),
        (-(2**62), ("recording", "trials", 0, "accounts", 0, "peak_memory_bytes")),
        ("x" * 10_000_000, ("recording", "trials", 0, "workload", "model")),
        ([], ("recording", "spec", "data")),
    ],
    ids=["huge-time", "negative-memory", "long-text", "spec-section"],
)
def test_values_that_cannot_be_are_named_by_their_place(
    change: object, path: tuple[object, ...], tmp_path: Path
) -> None:
    done = seqprof("show", damaged(tmp_path, change, *path), cwd=tmp_path)
    assert done.returncode == 2
    assert str(path[-1]) in done.stderr
    assert len(done.stderr) < 1_000


@pytest.mark.parametrize("command", ["show", "history"])
def test_endless_files_are_refused(command: str, tmp_path: Path) -> None:
    done = seqprof(command, "/dev/zero", cwd=tmp_path)
    assert done.returncode == 2
    assert "MiB" in done.stderr
    assert os.linesep * 3 not in done.stderr
