"""`seqprof diff`, as a user and a CI job run it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import seqprof
from diff_recordings import again, base, longer, slower, slower_along, wider
from example_recordings import change_trial, nothing_measured
from stored_results import save


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    made = {
        "base": base(),
        "again": again(),
        "slower": slower({"forward": 1.3, "backward": 1.3}),
        "wider": wider(),
        "longer": longer(),
        "along": slower_along(48, 63, 1.5),
        "nothing": nothing_measured(),
        "unaccounted": change_trial(again(), accounts=()),
    }
    return {name: save(recording, folder / f"{name}.json") for name, recording in made.items()}


def test_the_outcome_comes_first_then_settings_then_metrics(files: dict[str, Path]) -> None:
    done = seqprof(
        "diff", files["base"], files["wider"], "--full", env={**os.environ, "COLUMNS": "80"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    parts = [
        "A step is slower",
        "What changed in spec and environment",
        "model.hidden_size",
        "What was measured",
        "step_time",
        "BPTT · host clock · T = 64",
        "idle by cause",
        "Which recordings",
    ]
    places = [done.stdout.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_where_along_the_sequence_is_told(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["along"], "--full")
    rows = [line for line in done.stdout.splitlines() if line.endswith("slower here")]
    assert [row.split()[0] for row in rows] == ["48–52", "53–57", "58–63"]


@pytest.mark.parametrize(
    ("new", "arguments", "code", "told"),
    [
        ("again", (), 0, "passed: step_time"),
        ("base", (), 0, "passed: step_time"),
        ("slower", (), 3, "FAILED: step_time"),
        ("slower", ("--metric", "phase_time.loss"), 0, "inconclusive: phase_time.loss"),
        ("slower", ("--metric", "phase_time"), 3, "FAILED: phase_time.backward"),
        ("along", (), 0, "passed: step_time"),
    ],
)
def test_exit_codes_of_the_gate(
    new: str, arguments: tuple[str, ...], code: int, told: str, files: dict[str, Path]
) -> None:
    done = seqprof("diff", files["base"], files[new], "--fail-if-slower", "5%", *arguments)
    assert done.returncode == code, done.stdout
    assert told in done.stdout


def test_without_a_gate_slower_is_no_failure(files: dict[str, Path]) -> None:
    assert seqprof("diff", files["base"], files["slower"]).returncode == 0


def test_a_change_within_the_threshold_passes(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["slower"], "--fail-if-slower", "60%", "-q")
    assert done.returncode == 0
    assert "A step is slower" in done.stdout


def test_what_the_gate_cannot_see_is_exit_2(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["nothing"], "--fail-if-slower", "5%")
    assert done.returncode == 2
    assert "could not compare what it is to gate" in done.stderr
    assert "step_time (T = 64, batch 16): null in new: Ctrl-C" in done.stderr
    memory = ("--fail-if-slower", "5%", "--metric", "peak_memory.forward")
    assert seqprof("diff", files["base"], files["unaccounted"], *memory).returncode == 2


def test_incomparable_runs_are_refused_unless_forced(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["longer"], "--fail-if-slower", "5%")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not comparable:\n  timesteps T: 64 → 128" in done.stderr
    assert "--force" in done.stderr
    forced = seqprof("diff", files["base"], files["longer"], "--force")
    assert forced.returncode == 0, forced.stderr
    assert "Not comparable, compared all the same: timesteps T: 64 → 128" in " ".join(
        forced.stdout.split()
    )


def test_several_runs_of_a_side_all_count(files: dict[str, Path]) -> None:
    done = seqprof(
        "diff", files["base"], files["again"], "--against", files["slower"], files["slower"],
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["differences"]
    assert (found["base"]["runs"], found["new"]["runs"]) == (2, 2)
    step = next(m for m in found["cases"][0]["metrics"] if m["metric"] == "step_time")
    assert step["base"]["n"] == 40


def test_json_is_the_whole_of_stdout(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["slower"], "--json", "--fail-if-slower", "5%")
    assert done.returncode == 3
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["gate"]["metrics"][0]["verdict"] == "failed"
    assert document["differences"]["incomparable"] == []
    assert any(sentence.startswith("A step is slower") for sentence in document["sentences"])


def test_markdown_is_the_whole_of_stdout_and_the_exit_code_stays(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["slower"], "--markdown", "--fail-if-slower", "5%")
    assert (done.returncode, done.stderr) == (3, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("### Changes from ")
    assert lines[2].startswith("FAILED: step")
    assert "| step_time |" in done.stdout


def test_only_the_metrics_that_were_asked_for(files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["slower"], "--metric", "phase_time.backward")
    assert "phase_time" in done.stdout
    assert "step_time" not in done.stdout.partition("What was measured")[2]
    assert "BPTT · host clock" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fail-if-slower", "5"), "--fail-if-slower 5: not a threshold"),
        (("--metric", "step_tim"), "did you mean 'step_time'?"),
        (("--metric", "speed"), "known: step_time, step_cpu_time"),
        (("--markdown", "--json"), "--markdown and --json contradict"),
        (("--against", "nowhere.json"), "cannot read nowhere.json"),
        (("third.json",), "3 recordings, and not said which is new"),
        (("--fail-if-inconclusive",), "--fail-if-inconclusive needs a gate"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], message: str, files: dict[str, Path]) -> None:
    done = seqprof("diff", files["base"], files["again"], *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_recording_is_one_message(files: dict[str, Path], tmp_path: Path) -> None:
    torn = tmp_path / "torn.json"
    torn.write_bytes(files["base"].read_bytes()[:3000])
    done = seqprof("diff", files["base"], torn)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ends too early" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_needs_no_torch(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not wanted')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = seqprof("diff", files["base"], files["again"], env=environment)
    assert done.returncode == 0, done.stderr


def test_inconclusive_is_a_failure_where_it_is_asked_to_be(files: dict[str, Path]) -> None:
    gate = ("--metric", "phase_time.loss", "--fail-if-slower", "5%")
    done = seqprof("diff", files["base"], files["slower"], *gate, "--fail-if-inconclusive")
    assert done.returncode == 5, done.stdout
    assert re.search(r"inconclusive: phase_time\.loss .* [\d.]+× \([\d.]+–[\d.]+\)", done.stdout)


def test_the_warnings_of_both_recordings_are_shown(files: dict[str, Path], tmp_path: Path) -> None:
    """A base that drifted by half makes no failure of the same program."""
    steps = base().trials[0].steps
    drifting = tuple(
        replace(step, wall_s=step.wall_s * (0.6 + 0.4 * index / len(steps)))
        for index, step in enumerate(steps)
    )
    path = save(change_trial(base(), steps=drifting), tmp_path / "drifting.json")
    done = seqprof("diff", path, files["base"], "--fail-if-slower", "5%")
    words = " ".join(done.stdout.split())
    assert "Warnings that the recordings carry" in words
    assert "base: " in words
    assert done.returncode == 0, done.stdout
    assert "inconclusive: step_time" in words
