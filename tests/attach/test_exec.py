"""`seqprof exec` on a script that knows nothing of it."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from attach_scripts import OWN, Watched, bare, final_loss, watch
from command_line import seqprof

from seqprof.traces.kineto import read_trace

STEPS = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Watched, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("exec")
    clocks = folder / "clocks.json"
    command = [sys.executable, "cells.py", "--steps", str(STEPS), "--clocks", str(clocks)]
    watched = watch(folder, command, "--budget", "10", cwd=OWN)  # every timestep is marked
    return watched, json.loads(clocks.read_text())


Run = tuple[Watched, list[dict[str, float]]]


def test_the_script_does_what_it_does_without_us(run: Run) -> None:
    alone = bare(OWN / "cells.py", "--steps", str(STEPS))
    assert run[0].stdout == alone.stdout
    assert run[0].exit_code == alone.returncode == 0


def test_iterations_are_those_of_the_script(run: Run) -> None:
    loop = run[0].loop
    assert loop.boundary == "fetch"
    assert [iteration.finished for iteration in loop.iterations] == [True] * STEPS
    assert sum(iteration.updates for iteration in loop.iterations) == STEPS
    assert loop.evaluation_batches == STEPS // 5
    assert {iteration.timesteps for iteration in loop.iterations} == {(20,)}
    assert {iteration.batch_sizes for iteration in loop.iterations} == {(8,)}


def test_phases_agree_with_the_clocks_of_the_script(run: Run) -> None:
    watched, rows = run
    for phase in ("forward", "backward", "optimizer"):
        ours = [iteration.phases_s[phase] for iteration in watched.loop.iterations]
        off = median(abs(a - row[phase]) for a, row in zip(ours, rows, strict=True))
        assert off < 0.1 * median(row[phase] for row in rows) + 100e-6, phase


def test_timesteps_are_found_and_marked(run: Run) -> None:
    watched, _ = run
    assert watched.loop.timestep_modules == ("cell",)
    sides = {latency.phase: latency for latency in watched.trial.latencies}
    assert set(sides) == {"forward", "backward"}
    for side in sides.values():
        assert len(side.p50_s) == 20
        assert all(value is not None and value > 0 for value in side.p50_s)


def test_timesteps_add_up_to_their_loop(run: Run) -> None:
    for step in run[0].trial.steps:
        for timing in step.loops:
            assert 0 < timing.host_s < step.phases[timing.phase].host_s


def test_kinds_of_steps_take_turns(run: Run) -> None:
    kinds = [iteration.kind for iteration in run[0].loop.iterations]
    assert kinds[:4] == ["warmup"] * 4
    assert kinds[4:8] == ["bounded", "probed", "bounded", "metered"]
    assert kinds[8:12] == ["probed", "bounded", "metered", "bounded"]


def test_cpu_time_is_read_in_metered_steps_alone(run: Run) -> None:
    for step in run[0].trial.steps:
        known = [timing.cpu_s is not None for timing in step.phases.values()]
        assert all(known) if step.kind == "metered" else not any(known)


def test_operations_of_a_step_are_counted_once(run: Run) -> None:
    operations = {account.phase: account.operations for account in run[0].trial.accounts}
    assert set(operations) == {"forward", "loss", "backward", "optimizer"}
    # Each of 20 timesteps has three products with weights and the cell's own work.
    assert 20 * 4 < (operations["forward"] or 0) < (operations["backward"] or 0)


def test_memory_and_depth_are_those_of_one_real_step(run: Run) -> None:
    trial = run[0].trial
    for account in trial.accounts:
        assert account.memory_method == "resident_set_after_operations"
        assert (account.peak_memory_bytes or 0) > 2**20
    assert trial.depth is not None
    assert trial.depth.lengths == (20,)
    # A timestep of a GRU cell waits for the one before, forward and backward: none is skipped.
    assert 20 * 8 < (trial.depth.depth_ops or 0) < (trial.depth.work_ops or 0)


def test_how_long_the_script_stood_still_for_the_trace(tmp_path: Path) -> None:
    clocks, trace = tmp_path / "clocks.json", tmp_path / "trace.json.gz"
    command = [sys.executable, "cells.py", "--steps", "40", "--clocks", str(clocks)]
    watched = watch(tmp_path, command, "--steps", "8", "--trace", str(trace), cwd=OWN)
    profile = watched.trial.profile
    assert profile is not None
    at = [row["at"] for row in json.loads(clocks.read_text())]
    longest = max(after - before for before, after in pairwise(at))
    assert 0 < (profile.stopped_s or 0) < longest
    shown = seqprof("show", str(tmp_path / "run.json"), "--full").stdout
    assert "the script stood still for" in " ".join(shown.split())
    assert "acc_events" not in watched.stderr  # nothing of what torch warns of
    assert len(read_trace(trace).host) > 0


def test_the_tables_go_to_standard_error(run: Run) -> None:
    assert "backward" in run[0].stderr
    assert "backward" not in run[0].stdout
    assert "final loss" in final_loss(run[0].stdout)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    watched = watch(tmp_path, ["no-such-program"], cwd=tmp_path)
    assert watched.exit_code == 127
    assert watched.stderr.startswith("seqprof: cannot run 'no-such-program'")


def test_what_starts_the_script_imports_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "pass"]
    watched = watch(tmp_path, command, cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in watched.stderr.splitlines()}
    assert "seqprof.attach.outside.gather" in imported
    assert "torch" not in imported


def test_a_command_without_torch_says_that_nothing_was_measured(tmp_path: Path) -> None:
    watched = watch(tmp_path, [sys.executable, "-c", "print('hello')"], cwd=tmp_path)
    assert (watched.stdout, watched.exit_code) == ("hello\n", 0)
    assert "nothing was measured" in watched.stderr
