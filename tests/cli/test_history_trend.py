"""`--append` and `seqprof history`, as a user runs them. The file itself: tests/test_history.py."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import TINY, refusal, seqprof
from diff_recordings import base, slower
from real_results import RealResult

from seqprof.analysis.history.lines import history_lines
from seqprof.history import append, read
from seqprof.recording import Recording


def on_day(recording: Recording, day: int) -> Recording:
    environment = replace(recording.environment, commit=f"c0ffee{day:02d}")
    return replace(recording, created=f"2026-11-{day:02d}T00:00:00+00:00", environment=environment)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Six runs, then six whose backward takes half as long again; and one of another machine."""
    path = tmp_path / "history.jsonl"
    for day in range(1, 13):
        made = base() if day <= 6 else slower({"backward": 1.5})
        append(history_lines(on_day(made, day)), path)
    elsewhere = replace(base().environment, cpu="another")
    append(history_lines(replace(base(), environment=elsewhere)), path)
    return path


def test_the_change_is_told_with_its_run_and_commit(history: Path) -> None:
    done = seqprof("history", history, env={**os.environ, "COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    words = " ".join(done.stdout.split())
    assert "phase_time.backward: 1.50 times as much from run 7 on" in words
    assert "commit c0ffee07" in words
    assert "12 runs" in words
    assert "1 runs" in words
    assert "phase_time.forward: " not in words
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        (range(11, 21), "1.50 times as much from run 11 to run 20 (2026-11-11T00:00:00+00:00"),
        (range(11, 21), "), then back: "),
        (range(27, 31), "; 21 more runs at least are needed to tell whether it lasts."),
        (range(1, 11), "; too few runs on one side of it to tell whether it lasts."),
    ],
)
def test_what_came_back_or_may_still_is_told_as_such(
    slow: range, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "history.jsonl"
    for day in range(1, 31):
        made = slower({"backward": 1.5}) if day in slow else base()
        append(history_lines(on_day(made, day)), path)
    done = seqprof("history", path, "--metric", "phase_time.backward", "-q")
    assert words in " ".join(done.stdout.split())


def test_metric_chooses_and_quiet_is_one_line(history: Path) -> None:
    done = seqprof("history", history, "--metric", "phase_time.backward", "-q")
    (line,) = " ".join(done.stdout.split()).split("lstm, T = 64, batch 16: ")[1:]
    assert line.startswith("phase_time.backward: 1.50 times as much from run 7 on")
    nothing = seqprof("history", history, "--metric", "phase_time.forward", "-q")
    assert (nothing.returncode, nothing.stdout) == (0, "No level changed in 13 runs.\n")


def test_json_is_the_whole_of_stdout(history: Path) -> None:
    done = seqprof("history", history, "--json", "--metric", "step_time")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    found = document["history"]["series"]
    assert [series["runs"] for series in found] == [12, 1]
    (trend,) = found[0]["trends"]
    assert [change["index"] for change in trend["changes"]] == [6]


def test_a_damaged_line_is_told_and_the_rest_is_shown(history: Path) -> None:
    whole = history.read_bytes()
    history.write_bytes(whole[:200] + b"\n" + whole)
    done = seqprof("history", history)
    assert done.returncode == 0
    assert "line 1 is damaged and was skipped" in " ".join(done.stdout.split())
    assert "12 runs" in done.stdout


@pytest.mark.parametrize(("content", "message"), [(None, "cannot read"), (b"", "is empty")])
def test_what_is_no_history(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    if content is not None:
        path.write_bytes(content)
    done = seqprof("history", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_run_and_compare_append_a_line_for_each_workload(
    real_run: RealResult, real_compare: RealResult
) -> None:
    assert "appended: history.jsonl" in real_run.stderr
    step = real_run.document["summary"]["step"]["value"]
    ((line,), damaged) = read(real_run.path.with_name("history.jsonl"))
    assert damaged == ()
    assert next(m.value for m in line.metrics if m.metric == "step_time") == step
    lines, _ = read(real_compare.path.with_name("history.jsonl"))
    assert [line.label for line in lines] == 2 * ["lstm", "gru", "attention"]


@pytest.mark.parametrize("command", ["run", "compare", "scale"])
def test_where_nothing_can_be_appended_is_refused_before_measuring(
    command: str, tmp_path: Path
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY)
    words = [config] if command == "run" else ["lstm", "gru"]
    done = refusal(command, *words, "--append", tmp_path / "nowhere" / "h.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr


def test_a_new_history_has_the_usual_mode(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append(history_lines(base()), path)
    usual = tmp_path / "usual"
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
