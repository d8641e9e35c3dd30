"""Nothing from outside reaches a terminal as a control sequence."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprof.visible_text import coded, visible, visible_line

EVIL = "\x1b]0;owned\x07\x9b31m\u202e"


def test_what_is_obeyed_is_shown() -> None:
    assert visible(EVIL) == "\\x1b]0;owned\\x07\\x9b31m\\u202e"
    assert visible("a\tb\r\nc\rd") == "a\tb\nc\\x0dd"
    assert visible_line("a\tb\nc") == "a\\tb\\nc"


@given(st.text())
def test_json_holds_the_same_string_by_its_code(text: str) -> None:
    written = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        made = coded(written)
        assert json.loads(made) == text
        assert visible(made.decode()) == made.decode()


@given(st.text())
def test_what_is_visible_can_be_written_and_does_not_change_again(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\t\n"]


def on_terminal(*arguments: str, cwd: Path) -> bytes:
    """What a command writes on a real pseudo-terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "seqprof", *arguments],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=cwd,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(ours)
    process.wait()
    return written


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", f"no{EVIL}.json"),
        ("run", f"no{EVIL}.yaml"),
        (f"no{EVIL}command",),
        ("run", "lstm.yaml", f"--no{EVIL}"),
        ("compare", f"lstm@{EVIL}", "gru"),
        ("run", "lstm.yaml", "--set", f"model.name={EVIL}"),
        ("history", "evil.jsonl", "--metric", EVIL),
    ],
    ids=["file", "config", "command", "option", "name", "set", "metric"],
)
def test_errors_on_a_terminal(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text("model: {name: lstm}\n")
    (tmp_path / "evil.jsonl").write_text("{}\n")
    written = on_terminal(*arguments, cwd=tmp_path)
    assert written
    for raw in (b"\x1b]0;", b"\x07", b"\xc2\x9b", "\u202e".encode()):
        assert raw not in written
