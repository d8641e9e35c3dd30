"""One model, measured by `exec` in a script that has it and by `run`, which trains it itself."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from attach_scripts import shared_script, watch_script

from seqprof import store
from seqprof.recording import Trial

pytestmark = pytest.mark.timing

CONFIG = """\
model: {target: "plain_lstmcell:Model"}
data: {kind: synthetic, vocabulary: 256, seq_len: 64, batch_size: 16}
train: {optimizer: adam}
measure: {pairs: 12, sweep: false, threads: 1}
"""


@dataclass(frozen=True)
class Both:
    watched: Trial
    run: Trial


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    script, folder = shared_script("plain_lstmcell.py"), tmp_path_factory.mktemp("both")
    watched = watch_script(folder, script, "--steps", "40", "--validate-every", "50")
    config, out = folder / "model.yaml", folder / "by_run.json"
    config.write_text(CONFIG)
    path = os.pathsep.join([str(script.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", "run", str(config), "-o", str(out)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Both(watched.trial, store.load(out).trials[0])


def test_the_same_loop_over_the_same_timesteps(both: Both) -> None:
    loops = [{(e.loop, e.phase) for e in trial.latencies} for trial in (both.watched, both.run)]
    assert loops[0] == loops[1] == {("cell", "forward"), ("cell", "backward")}
    for trial in (both.watched, both.run):
        assert {len(entry.p50_s) for entry in trial.latencies} == {64}
        assert {step.timesteps for step in trial.steps} == {(64,)}


def test_the_same_operations(both: Both) -> None:
    watched, run = (
        {account.phase: account.operations for account in trial.accounts}
        for trial in (both.watched, both.run)
    )
    assert watched["forward"] == run["forward"]
    assert both.watched.timestep_operations == both.run.timestep_operations
    assert {len(row.operations) for row in both.watched.timestep_operations} == {64}
    # The script flattens its logits for the loss, and `run` clears the gradients in this phase.
    for phase in ("backward", "optimizer"):
        assert watched[phase] == pytest.approx(run[phase], abs=4), phase


def test_the_same_depth(both: Both) -> None:
    """By `run` from shapes, by `exec` from a real step; the script flattens logits for its loss."""
    watched, run = both.watched.depth, both.run.depth
    assert watched is not None
    assert run is not None
    assert watched.timesteps == run.timesteps == 64
    assert watched.depth_ops == pytest.approx(run.depth_ops, abs=4)
    assert watched.work_ops == pytest.approx(run.work_ops, abs=8)


def test_times_within_the_spread(both: Both) -> None:
    for phase in ("forward", "backward"):
        ranges = []
        for trial in (both.watched, both.run):
            times = [s.phases[phase].host_s for s in trial.steps if s.kind == "bounded"]
            ranges.append((min(times), max(times)))
        (low, high), (lower, higher) = ranges
        assert low <= higher, phase
        assert lower <= high, phase
