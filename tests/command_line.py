"""Runs seqprof as a user does: piped, 80 columns wide.

Commands that measure nothing run in this process, which saves a start of Python and of the
libraries each time; those that measure run in a process of their own. `tests/cli/test_startup.py`
starts every command once as a process. A test that is about the process itself says `process=True`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_configs"

#: A run of a second or two.
TINY = """\
model: {name: lstm, execution: cell, hidden_size: 16}
data: {seq_len: 24, batch_size: 4}
measure: {pairs: 4, max_s: 2, threads: 1}
"""

#: They measure nothing, start no process and leave no trace in this one.
IN_PROCESS = frozenset({
    "show", "diff", "history", "trace", "list", "schema", "dashboard", "init",
    "-V", "--version", "-h", "--help",
})  # fmt: skip
#: Variables that a command reads when it runs. Others matter before: to Python, to the loader.
READ_LATE = frozenset({
    "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "PYTHONIOENCODING",
    "OMP_NUM_THREADS", "GITHUB_STEP_SUMMARY", "GITHUB_SHA",
})  # fmt: skip

Done = subprocess.CompletedProcess[str]


def widest(printed: str) -> int:
    """Characters of the longest line, but for commands: one line, whatever it names, to copy."""
    return max(len(line) for line in printed.splitlines() if not line.startswith("  seqprof "))


def seqprof(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 240,
    process: bool | None = None,
) -> Done:
    """Run one command to its end.

    Args:
        env: the whole environment; None: that of this process.
        process: True: in a process of its own; False: in this one; None: as the command allows.
    """
    words = [str(word) for word in arguments]
    variables = dict(os.environ) if env is None else dict(env)
    if process is None:
        process = not (words and words[0] in IN_PROCESS and _read_late(variables))
    return _start(words, variables, cwd, timeout) if process else _call(words, variables, cwd)


def refusal(*arguments: str | Path, cwd: Path | None = None) -> Done:
    """Run a command that is refused before it measures anything, in this process."""
    return seqprof(*arguments, cwd=cwd, process=False)


def _read_late(variables: Mapping[str, str]) -> bool:
    """Whether what differs from this process's environment matters only when a command runs."""
    ours = dict(os.environ)
    differ = {name for name in {*ours, *variables} if ours.get(name) != variables.get(name)}
    return differ <= READ_LATE


def _start(words: list[str], variables: dict[str, str], cwd: Path | None, timeout: float) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "seqprof", *words],
        env=variables,
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def _call(words: list[str], variables: dict[str, str], cwd: Path | None) -> Done:
    from seqprof.cli import main

    encoding = variables.get("PYTHONIOENCODING", "utf-8")
    out, err = _pipe(encoding, "strict"), _pipe(encoding, "backslashreplace")
    # Unlike a process, this one may have a terminal somewhere, whose width would be taken.
    variables = {"COLUMNS": "80", **variables}
    with (
        _folder(cwd),
        patch.dict(os.environ, variables, clear=True),
        patch.multiple(
            sys, argv=["seqprof", *words], stdout=out, stderr=err, stdin=_pipe("utf-8", "strict")
        ),
    ):
        code = _exit_code(main)
    return Done(words, code, _text(out), _text(err))


def _pipe(encoding: str, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)


def _text(pipe: io.TextIOWrapper) -> str:
    pipe.flush()
    assert isinstance(pipe.buffer, io.BytesIO)
    text = pipe.buffer.getvalue().decode(pipe.encoding, "backslashreplace")
    return text.replace("\r\n", "\n")  # as a process's output is read


def _exit_code(main: Any) -> int:
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    return 0


@contextmanager
def _folder(cwd: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(cwd or before)
    try:
        yield
    finally:
        os.chdir(before)


def run_json(
    *arguments: str | Path, env: Mapping[str, str] | None = None, exit_code: int = 0
) -> dict[str, Any]:
    """`seqprof run … --json`; the whole of stdout must be the document."""
    done = seqprof("run", *arguments, "--json", env=env)
    assert done.returncode == exit_code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def kinds(document: dict[str, Any]) -> set[str]:
    """Kinds of the incidents that a run recorded."""
    return {incident["kind"] for incident in document["recording"]["trials"][0]["incidents"]}
