"""Unmodified scripts whose truth is known: phases step by step, counts, T, losses, exit codes."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from attach_scripts import Watched, bare, final_loss, shared_script, watch_script

pytestmark = pytest.mark.timing
NO_KERNEL = "could not create a primitive"

#: A phase agrees with the script's own clock within this share or, a round, this many seconds; what
#: lies between two clocks is Python's own calls. `benchmarks/attach_truth.py` has the exact limits.
SHARE, SECONDS = 0.03, 50e-6


@dataclass(frozen=True)
class Case:
    """A script, what to run it with, and the phases that its clocks and events define alike."""

    name: str
    args: tuple[str, ...]
    phases: tuple[str, ...] = ("data", "forward", "loss", "backward", "optimizer", "other")
    module: tuple[str, ...] = ()
    needs: str = "torch"
    seconds: float = SECONDS


CASES = [
    Case("plain_lstmcell.py", ("--steps", "14", "--validate-every", "6"), module=("cell",)),
    Case("padded_gru.py", ("--steps", "14")),
    Case("accumulate_amp.py", ("--scaler", "--steps", "12")),
    Case(
        "lbfgs_closure.py",
        ("--steps", "6"),
        ("forward", "backward", "optimizer"),
        module=("cell",),
        # The loss that `step` returns takes the place of the last one, whose graph is freed then:
        # 300 µs of a step that lie after every hook.
        seconds=150e-6,
    ),
    Case(
        "lightning_module.py",
        ("--steps", "14"),
        ("forward", "backward"),
        needs="lightning",
    ),
]


@dataclass(frozen=True)
class Seen:
    case: Case
    watched: Watched
    truth: dict[str, Any]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    case: Case = request.param
    pytest.importorskip(case.needs)
    script, folder = shared_script(case.name), tmp_path_factory.mktemp("shared")
    truth = folder / "truth.json"
    watched = watch_script(folder, script, *case.args, TRUTH=str(truth))
    if NO_KERNEL in watched.stderr and NO_KERNEL in bare(script, *case.args).stderr:
        pytest.skip("this processor has no kernel for the script's precision (oneDNN)")
    return Seen(case, watched, json.loads(truth.read_text()))


def test_counts_are_exact(seen: Seen) -> None:
    loop, truth = seen.watched.loop, seen.truth
    done = [iteration for iteration in loop.iterations if iteration.finished]
    assert len(done) == truth["steps"]
    assert sum(iteration.rounds for iteration in done) == truth["iterations"]
    assert sum(iteration.updates for iteration in done) == truth["optimizer_steps"]
    assert sum(iteration.skipped for iteration in done) == truth["skipped_steps"]
    assert loop.evaluation_batches >= truth["eval_batches"] - 1  # one may come after the last step


def test_lengths_and_the_timestep_module(seen: Seen) -> None:
    loop, truth = seen.watched.loop, seen.truth
    given = truth["T"]
    for index, iteration in enumerate(loop.iterations):
        wanted = given[index] if isinstance(given, list) else given
        # Before the loop was explored a step's T is only known if all were the same.
        if iteration.timesteps or index >= 3:
            assert set(iteration.timesteps) == {wanted}, index
    assert loop.timestep_modules == seen.case.module


def test_phases_step_by_step(seen: Seen) -> None:
    """A step in which the system takes the processor away between our clock and the script's says
    nothing of either: half of the steps have to be as they all are on a quiet machine."""
    for phase in seen.case.phases:
        off = [
            abs(iteration.phases_s.get(phase, 0.0) - row.get(phase, 0.0))
            / max(SHARE * row.get(phase, 0.0), seen.case.seconds * iteration.rounds)
            for iteration, row in zip(seen.watched.loop.iterations, seen.truth["rows"], strict=True)
            if iteration.kind != "warmup"  # in which every module call is watched
        ]
        assert median(off) <= 1, phase


def test_the_loss_is_the_same_bit_for_bit(seen: Seen) -> None:
    assert float(final_loss(seen.watched.stdout).split()[-1]) == seen.truth["final_loss"]
    assert seen.watched.exit_code == 0


@pytest.mark.parametrize(
    ("args", "exit_code", "steps"),
    [
        (("--exit", "7", "--steps", "9"), 7, 9),
        (("--raise-at", "5"), 1, 5),
        (("--segfault",), 139, 7),
        (("--sigint-self",), 130, 7),
        (("--sigterm-self",), 143, 7),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_script_ends_as_it_would(
    args: tuple[str, ...], exit_code: int, steps: int, tmp_path: Path
) -> None:
    script = shared_script("failing.py")
    watched, alone = watch_script(tmp_path, script, *args), bare(script, *args)
    assert watched.exit_code == exit_code
    assert watched.stdout == alone.stdout
    assert watched.stderr.startswith(alone.stderr)  # then come the tables
    assert sum(iteration.finished for iteration in watched.loop.iterations) == steps


def test_words_standard_input_and_spawned_processes_are_the_scripts(tmp_path: Path) -> None:
    script = shared_script("failing.py")
    args = ("--note=--steps", "--stdin", "--spawn", "--steps", "8", "--", "--odd", "-x")
    watched = watch_script(tmp_path, script, *args, stdin="a\nbb\n")
    assert watched.stdout == bare(script, *args, stdin="a\nbb\n").stdout
    assert len(watched.loop.iterations) == 8
