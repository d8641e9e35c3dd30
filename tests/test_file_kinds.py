"""A file that a command cannot take is called by its name, with the command that takes it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seqprof.cli.app import command_line
from seqprof.errors import SeqprofError
from seqprof.file_kinds import kind_of

FILES = {
    "run.json": ('{"schema_version":2,"recording":{"kind":"run"}}', "recording", "show"),
    "run.txt": ('\n {"schema_version": 2, "recording": {}}', "recording", "show"),
    "h.jsonl": ('{"history_version":1,"kind":"run"}\n', "history", "history"),
    "t.json": ('{"schemaVersion": 1, "traceEvents": [{"ph": "X"}]}', "trace", "trace"),
    "list.json": ('[{"ph": "X", "ts": 1}]', "trace", "trace"),
    "my.yaml": ("model: {name: lstm}\n", "spec", "run"),
    "train.py": ("import torch\n", "program", "exec"),
    "report.html": ("<!doctype html>\n<title>x</title>", "report", "show"),
}
#: A damaged file of the own kind, and a web page as a trace, are tested with the commands.
COMMANDS = ("run", "show", "history", "trace", "compare lstm", "depth", "diff run.json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, (text, _, _) in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_it_is_told_by_content_or_ending(name: str, folder: Path) -> None:
    assert kind_of(folder / name) == FILES[name][1]


def test_a_compressed_trace_is_one(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    path.write_bytes(gzip.compress(b'{"traceEvents": []}' + b" " * 100_000))
    assert kind_of(path) == "trace"


def test_what_is_nothing_known_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("model: lstm\n")
    assert kind_of(tmp_path / "notes.txt") is None
    assert kind_of(tmp_path) is None
    assert kind_of(tmp_path / "absent") is None


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FILES)
def test_each_command_says_which_other_takes_the_file(
    command: str, name: str, folder: Path
) -> None:
    _, _, takes = FILES[name]
    words = command.split()
    family = {"compare": "run", "depth": "run", "diff": "show"}.get(words[0], words[0])
    if (family == takes and name != "report.html") or (family, name) == ("trace", "report.html"):
        return
    done = CliRunner().invoke(command_line(), [*words, name])
    assert isinstance(done.exception, SeqprofError)
    assert done.exception.exit_code == 2
    if words[0] != "diff":  # its first file is refused before
        assert f"`seqprof {takes}" in f"{done.exception.message} {done.exception.hint}"
