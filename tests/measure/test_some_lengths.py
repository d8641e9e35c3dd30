"""Models that take some lengths only: where T is read, which prefixes are taken, what they give."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from command_line import seqprof
from terminal import shown

from seqprof.analysis.run.summary import summarise
from seqprof.measure.outcome import NoProgress
from seqprof.measure.run import measure_run
from seqprof.recording import Recording, Trial
from seqprof.spec import Spec
from seqprof.workloads.prefixes import Prefixes

FOLDER = Path(__file__).parents[1]


def run(model: str, batches: str = "of_20") -> Trial:
    return recorded(model, batches).trials[0]


def recorded(model: str, batches: str = "of_20", **train: Any) -> Recording:
    spec = Spec.model_validate(
        {
            "model": {"target": f"grouped_models:{model}"},
            "data": {"target": f"grouped_models:{batches}"},
            "train": {"loss": "mse", **train},
            "measure": {"device": "cpu", "threads": 1, "warmup": 1, "pairs": 4, "max_s": 0.3},
        }
    )
    outcome = measure_run(spec, FOLDER, "test", NoProgress())
    assert outcome.exit_code == 0
    return outcome.recording


def rules(trial: Trial) -> dict[str, str]:
    return {loop.loop: loop.rule for loop in trial.loops}


@pytest.mark.parametrize(("batches", "timesteps"), [("of_35", 35), ("of_60", 60)])
def test_several_frames_a_call(batches: str, timesteps: int) -> None:
    trial = run("ReductionFactor", batches)
    assert trial.workload.sizes == (timesteps, 3)
    assert rules(trial) == {"cell": "one for 5 timesteps"}
    [loop] = trial.loops
    assert (loop.calls, loop.timesteps_per_position) == (timesteps // 5, 5)


def test_every_layer_of_a_pyramid_has_its_rule() -> None:
    """T // 2 + 1 is odd: another second length is found."""
    assert rules(run("Pyramid")) == {"cell": "one a timestep", "upper": "one for 2 timesteps"}


def test_a_length_whose_backward_fails_is_none() -> None:
    trial = run("BackwardOfEven", "of_60")
    assert trial.sweep_reason is None
    lengths = sorted({point.timesteps for point in trial.sweep})
    assert len(lengths) == 4
    assert all(length % 2 == 0 for length in lengths)


@pytest.mark.parametrize(
    ("model", "calls", "rule"),
    [
        ("ReadThenWrite", 39, "2 a timestep, 1 less in all"),
        ("Unordered", 39, "2 a timestep, 1 less in all"),
        ("ReadThenHalf", 30, "3 for 2 timesteps"),
    ],
)
def test_passes_of_uneven_length_are_timed_call_by_call(model: str, calls: int, rule: str) -> None:
    recording = recorded(model)
    [trial] = recording.trials
    [counts] = trial.loops
    assert (counts.calls, counts.positions, counts.rule) == (calls, calls, rule)
    assert counts.by_call
    assert {len(latency.p50_s) for latency in trial.latencies} == {calls}
    assert {len(one.operations) for one in trial.timestep_operations} == {calls}
    # A timestep is one of the data's: it costs its share of all calls.
    for loop in summarise(recording).loops:
        assert loop.per_timestep.value == pytest.approx((loop.span.value or 0) / 20)
    short = shown(recording, full=False)
    assert f"cell: {calls} calls for 20 timesteps ({rule})" in short
    full = shown(recording)
    assert "host clock · T = 20 ·" in full
    assert "per call" in full
    assert "over 20 timesteps" in " ".join(full.split())


def test_uneven_calls_of_chunks_follow_one_another() -> None:
    """Truncated BPTT: chunks of 7, 7 and 6 timesteps have 13, 13 and 11 calls."""
    recording = recorded("GoesOn", bptt={"truncate": 7, "carry": True})
    [trial] = recording.trials
    [counts] = trial.loops
    assert (counts.timesteps, counts.calls, counts.positions) == (20, 37, 37)
    assert counts.rule == "2 a timestep, 1 less in all, in each of 3 chunks"
    assert {len(latency.p50_s) for latency in trial.latencies} == {37}
    assert {len(one.operations) for one in trial.timestep_operations} == {37}


def test_calls_that_no_timestep_can_be_told_of_are_said() -> None:
    """As many as the square of T: no timestep has a share of them."""
    trial = run("Triangular")
    assert trial.loops == ()
    assert "`cell` is called 210 times in a forward over 20" in str(trial.timesteps_reason)
    assert "which timestep each call belongs to cannot be told" in str(trial.timesteps_reason)


def test_uneven_calls_of_lengths_that_differ_cost_each_timestep_the_same() -> None:
    recording = recorded("ReadThenWrite", "of_any")
    [trial] = recording.trials
    probed = [step for step in trial.steps if step.kind == "probed"]
    assert len({step.timesteps for step in probed}) > 1
    [forward] = [loop for loop in summarise(recording).loops if loop.phase == "forward"]
    ratios = [
        (loop.host_s or 0) / sum(step.timesteps)
        for step in probed
        for loop in step.loops
        if loop.phase == "forward"
    ]
    assert forward.per_timestep.value == pytest.approx(median(ratios))
    longest = max(max(step.timesteps) for step in trial.steps)
    full = " ".join(shown(recording).split())
    assert f"host clock · T = {longest} ·" in full


def test_spans_of_several_timesteps_are_told_as_calls() -> None:
    full = shown(recorded("ReductionFactor"))
    assert "cell: 4 calls for 20 timesteps (one for 5 timesteps)" in full
    assert "host clock · T = 20 ·" in full
    assert "clock · T = 4 " not in full


@pytest.mark.parametrize(
    ("model", "law"),
    [("ReductionFactor", "/5·T"), ("Pyramid", "·T"), ("OneLength", None), ("Traced", None)],
)
def test_depth_is_counted_at_lengths_that_the_model_takes(model: str, law: str | None) -> None:
    trial = run(model)
    depth = trial.depth
    assert depth is not None
    assert depth.depth_ops is not None
    assert depth.work_ops is not None
    if law is None:
        assert (depth.law, depth.lengths) == (None, (20,))
        assert depth.reason == "one length is too few to tell a law"
    else:
        assert law in str(depth.law)
        assert max(depth.lengths) <= 32


def test_a_traced_loop_says_what_fixes_its_length() -> None:
    trial = run("Traced")
    reason = str(trial.sweep_reason)
    assert "index 5 out of range" in reason  # and not TorchScript's traceback
    assert "torch.jit.trace keeps a loop at the T of its example" in reason
    assert "torch.jit" not in str(run("OneLength").sweep_reason)


@pytest.mark.parametrize(
    ("model", "how"),
    [
        ("ReductionFactor", "from shapes alone:"),
        ("Pyramid", "from shapes alone:"),
        ("ReadsValues", "from shapes alone or in real steps:"),
    ],
)
def test_the_depth_command_takes_t_of_the_batches(model: str, how: str, tmp_path: Path) -> None:
    spec = tmp_path / "own.yaml"
    spec.write_text(
        f"model: {{target: 'grouped_models:{model}'}}\n"
        "data: {target: 'grouped_models:of_20'}\ntrain: {loss: mse}\n"
    )
    shutil.copy(FOLDER / "grouped_models.py", tmp_path)
    made = seqprof("depth", spec)
    assert made.returncode == 0, made.stderr
    said = " ".join(made.stdout.split())
    assert f"One training step at T = 20, {how}" in said


class _Model:
    """Takes what ``good`` says; counts what it is tried with."""

    def __init__(self, good: Any) -> None:
        self.good, self.tried = good, list[int]()

    def __call__(self, timesteps: int) -> None:
        self.tried.append(timesteps)
        if not self.good(timesteps):
            raise ValueError(f"not {timesteps}\nat all")


@pytest.mark.parametrize("of", [1, 2, 3, 5, 12])
def test_the_nearest_that_fits_is_found_and_each_tried_once(of: int) -> None:
    model = _Model(lambda timesteps: timesteps % of == 0)
    prefixes = Prefixes(model, 60)
    taken = [prefixes.nearest(wanted) for wanted in (15, 30, 31, 45, 15)]
    assert all(length is not None and length % of == 0 and length < 60 for length in taken)
    near = zip(taken, (15, 30, 31, 45, 15), strict=True)
    assert all(abs((length or 0) - wanted) < of for length, wanted in near)
    assert len(model.tried) == len(set(model.tried))
    assert prefixes.possible
    assert prefixes.reason is None


def test_none_that_fits_is_told_with_what_was_tried() -> None:
    model = _Model(lambda _timesteps: False)
    prefixes = Prefixes(model, 60)
    assert prefixes.nearest(31) is None
    assert not prefixes.possible
    assert prefixes.reason is not None
    assert prefixes.reason.startswith("the model takes no shorter sequences: not 31 at T = 31 (nor")
    assert len(model.tried) < 20
    assert Prefixes(model, 1).reason == "the sequences have one timestep"
    assert prefixes.nearest(61) == 61  # no part of these
