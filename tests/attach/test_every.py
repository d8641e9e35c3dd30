"""`exec --every N`: a window again each N steps, each kept as a recording of its own."""

import json
import subprocess
import sys
from bisect import bisect
from pathlib import Path

import pytest
from attach_scripts import OWN, bare, environment, final_loss, watch

from seqprof import store
from seqprof.recording import ForeignLoop, Recording

EVERY = 25
OPTIONS = ("--every", str(EVERY), "--steps", "8", "--warmup", "3")


def loop_of(recording: Recording) -> ForeignLoop:
    loop = recording.trials[0].loop
    assert loop is not None
    return loop


@pytest.mark.parametrize(
    ("kind", "windows"), [("optimizer", 3), ("fetch", 2), ("grad", 2), ("inference", 2)]
)
def test_a_window_again_each_n_steps(kind: str, windows: int, tmp_path: Path) -> None:
    script, args = OWN / "windows.py", (kind, str(EVERY * windows - 5))
    command = [sys.executable, script.name, *args]
    history = tmp_path / "history.jsonl"
    clocks = tmp_path / "clocks.json"
    watched = watch(
        tmp_path, command, *OPTIONS, "--append", str(history), cwd=OWN, CLOCKS=str(clocks)
    )
    alone = bare(script, *args)
    assert watched.exit_code == 0
    assert final_loss(watched.stdout) == final_loss(alone.stdout)
    names = ("run.json", "run.window2.json", "run.window3.json")
    paths = [tmp_path / name for name in names[:windows]]
    assert sorted(tmp_path.glob("run*.json")) == sorted(paths)
    trials = [store.load(path).trials[0] for path in paths]
    loops = [loop_of(store.load(path)) for path in paths]
    began_ns = json.loads(clocks.read_text())
    for trial, loop in zip(trials, loops, strict=True):
        inside = 0.5 if kind == "fetch" else 0.99  # of a step: others end with what closes them
        for step in (step for step in loop.iterations if step.finished):
            at_ns = trial.clock_origin_ns + (step.started_at_s + inside * step.wall_s) * 1e9
            assert bisect(began_ns, at_ns) - 1 == loop.steps_before + step.index
    assert [(loop.window, loop.steps_before) for loop in loops] == [
        (number + 1, EVERY * number) for number in range(windows)
    ]
    assert all(loop.ended == "complete" for loop in loops)
    for loop in loops:
        measured = [i for i in loop.iterations if i.finished and i.kind != "warmup"]
        assert len(measured) == 8
    assert len(history.read_text().splitlines()) == windows
    assert f"{windows} windows; shown: the first; a step: " in watched.stderr


def test_no_hook_is_left_when_the_window_is_the_only_one(tmp_path: Path) -> None:
    script, args = OWN / "windows.py", ("optimizer", "30")
    command = [sys.executable, script.name, *args]
    watched = watch(tmp_path, command, "--steps", "8", "--warmup", "3", cwd=OWN)
    assert watched.stdout == bare(script, *args).stdout


def test_the_windows_of_a_folder_are_named_beside_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    command = [sys.executable, "windows.py", "optimizer", "45"]
    subprocess.run(
        [sys.executable, "-m", "seqprof", "exec", "-o", str(folder), *OPTIONS, "--", *command],
        cwd=OWN, env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-m", "seqprof", "show", "--full", str(folder)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "beside it: rank0.window2" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--every", "50"), "--every 50: a window takes 104 steps"),
        (("--every", "500", "--stop"), "--stop ends the script after the first window"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    watched = watch(tmp_path, [sys.executable, "-c", "print('ran')"], *options, cwd=tmp_path)
    assert watched.exit_code == 2
    assert said in watched.stderr
    assert watched.stdout == ""
