"""What a run measures on the CPU, against what is known or measured independently beside it."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
import torch
from command_line import SAMPLES, widest
from terminal import shown
from torch.utils import benchmark

from seqprof.analysis.run.summary import summarise
from seqprof.measure.outcome import NoProgress, Outcome
from seqprof.measure.run import measure_run
from seqprof.measure.trial.pairs import StridePlan
from seqprof.recording import Trial
from seqprof.spec import Spec
from seqprof.spec_file import load_spec
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep

SMALL = {"seq_len": 24, "batch_size": 4}
FAST = {"pairs": 4, "max_s": 2.0, "threads": 1}


def measured(model: dict[str, Any], folder: Path = SAMPLES, **parts: dict[str, Any]) -> Outcome:
    spec = Spec.model_validate(
        {
            "model": model,
            "data": {**SMALL, **parts.get("data", {})},
            "train": parts.get("train", {}),
            "measure": {**FAST, **parts.get("measure", {})},
        }
    )
    return measure_run(spec, folder, "test", NoProgress())


def trial_of(model: dict[str, Any], folder: Path = SAMPLES, **parts: dict[str, Any]) -> Trial:
    outcome = measured(model, folder, **parts)
    assert outcome.exit_code == 0
    return outcome.recording.trials[0]


CELL = {"name": "lstm", "execution": "cell", "hidden_size": 16}


@pytest.mark.parametrize(
    ("model", "train"),
    [
        (CELL, {}),
        ({**CELL, "layers": 2, "dropout": 0.1}, {"accumulate": 2}),
        ({**CELL, "name": "gru"}, {"bptt": {"truncate": 7}}),
        ({**CELL, "name": "rnn", "nonlinearity": "relu"}, {"checkpoint": True}),
        ({**CELL, "bidirectional": True, "layers": 2}, {}),
    ],
    ids=["plain", "accumulated", "truncated", "checkpointed", "bidirectional"],
)
def test_timesteps_and_the_remainder_make_up_their_phase(
    model: dict[str, Any], train: dict[str, Any]
) -> None:
    trial = trial_of(model, train=train, measure={"timesteps": {"stride": 1}})
    probed = [step for step in trial.steps if step.kind == "probed"]
    batches = trial.workload.micro_batches
    for phase in ("forward", "backward"):
        latencies = [x for x in trial.latencies if x.phase == phase]
        assert len(latencies) == (4 if model.get("bidirectional") else 1)
        total = batches * sum(sum(s for s in x.mean_s if s is not None) for x in latencies)
        loops = mean(sum(x.host_s for x in s.loops if x.phase == phase) for s in probed)
        whole = mean(step.phases[phase].host_s for step in probed)
        assert total == pytest.approx(loops, rel=0.01)
        assert 0 < loops < whole


def test_only_planted_timesteps_stand_out(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Cell(nn.Module):\n"
        "    def __init__(self, planted):\n"
        "        super().__init__()\n"
        "        self.cell, self.planted, self.t = nn.GRUCell(16, 16), planted, 0\n"
        "    def forward(self, x, h):\n"
        "        h = self.cell(x, h)\n"
        "        for _ in range(60 if self.t in self.planted else 0):\n"
        "            h = h * 1.001\n"
        "        self.t += 1\n"
        "        return h\n"
        "class Model(nn.Module):\n"
        "    def __init__(self, planted):\n"
        "        super().__init__()\n"
        "        self.embedding, self.cell = nn.Embedding(256, 16), Cell(planted)\n"
        "        self.head = nn.Linear(16, 256)\n"
        "    def forward(self, x):\n"
        "        self.cell.t = 0\n"
        "        h, outputs = torch.zeros(x.shape[0], 16), []\n"
        "        for x_t in self.embedding(x).unbind(1):\n"
        "            h = self.cell(x_t, h)\n"
        "            outputs.append(h)\n"
        "        return self.head(torch.stack(outputs, 1))\n"
    )
    planted = [7, 15]
    trial = trial_of(
        {"target": "planted:Model", "kwargs": {"planted": planted}},
        tmp_path,
        measure={"pairs": 12, "max_s": 20.0},
    )
    for phase in ("forward", "backward"):
        latency = next(x for x in trial.latencies if x.phase == phase)
        assert latency.loop == "cell"
        inner = {t: p for t, p in enumerate(latency.p50_s) if p is not None and 0 < t < 23}
        slowest = sorted(inner, key=lambda t: inner[t])[-2:]
        assert sorted(slowest) == planted
        counted = next(x for x in trial.timestep_operations if x.phase == phase)
        usual = median(counted.operations)
        assert all(counted.operations[t] == usual + 60 for t in planted)


def test_step_and_phase_agree_with_an_independent_timer() -> None:
    """The same callable, in the same process, timed by torch.utils.benchmark before and after."""
    torch.set_num_threads(1)
    spec = Spec.model_validate(
        {"model": {"name": "gru", "hidden_size": 32}, "data": {"seq_len": 32, "batch_size": 4}}
    )
    built = build(spec, SAMPLES)
    step = TrainingStep(built, spec, torch.device("cpu"))
    batch = step.next_batch()
    timers = {
        "step": benchmark.Timer("step.run()", globals={"step": step}),
        "forward": benchmark.Timer("step.forward(batch)", globals={"step": step, "batch": batch}),
    }
    step.run()
    before = {name: timer.blocked_autorange(min_run_time=0.4) for name, timer in timers.items()}
    trial = trial_of(
        {"name": "gru", "hidden_size": 32},
        data={"seq_len": 32},
        measure={"pairs": 40, "max_s": 5.0, "sweep": False},
    )
    after = {name: timer.blocked_autorange(min_run_time=0.4) for name, timer in timers.items()}
    ours = {
        "step": median(step.wall_s for step in trial.steps if step.kind == "bare"),
        "forward": median(
            step.phases["forward"].host_s for step in trial.steps if step.kind == "bounded"
        ),
    }
    for name, seconds in ours.items():
        times = [t for m in (before[name], after[name]) for t in m.times]
        # Its own spread, widened by what a neighbour on a shared machine does between the two.
        assert 0.7 * min(times) <= seconds <= 1.4 * max(times), name


def test_a_fused_model_gets_a_derived_cost_and_no_timesteps() -> None:
    outcome = measured({"name": "lstm", "hidden_size": 16})
    trial = outcome.recording.trials[0]
    assert trial.latencies == ()
    assert "one call" in (trial.timesteps_reason or "")
    assert {point.timesteps for point in trial.sweep} == {6, 12, 18, 24}
    marginal = summarise(outcome.recording).marginal
    assert marginal is not None


def test_a_model_that_takes_one_length_only_is_still_measured(tmp_path: Path) -> None:
    (tmp_path / "rigid.py").write_text(
        "from torch import nn\n"
        "class Model(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.embedding, self.mix = nn.Embedding(256, 8), nn.Linear(24, 24)\n"
        "        self.head = nn.Linear(8, 256)\n"
        "    def forward(self, x):\n"
        "        return self.head(self.mix(self.embedding(x).mT).mT)\n"
    )
    trial = trial_of({"target": "rigid:Model"}, tmp_path, measure={"timesteps": {"enabled": False}})
    assert [incident.kind for incident in trial.incidents] == []
    assert "takes no shorter sequences" in (trial.sweep_reason or "")


def test_packed_and_padded_say_how_much_is_padding() -> None:
    lengths = {"distribution": "uniform", "minimum": 4}
    for layout in ("padded", "packed"):
        trial = trial_of(
            {"name": "gru", "hidden_size": 16},
            data={"lengths": {**lengths, "layout": layout}},
            measure={"sweep": False},
        )
        padding = [step.padded_positions for step in trial.steps]
        assert (max(known or 0 for known in padding) > 0) == (layout == "padded")
        assert all(step.positions > 0 for step in trial.steps)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_runs(precision: str) -> None:
    trial = trial_of({**CELL, "name": "gru"}, train={"precision": precision, "clip_norm": 1.0})
    assert trial.workload.precision == precision


def test_a_compilation_that_takes_too_long_is_said_and_the_run_goes_on() -> None:
    trial = trial_of(CELL, train={"compile": True, "compile_timeout_s": 0.2})
    assert [incident.kind for incident in trial.incidents] == ["compile_timeout"]
    assert not trial.workload.compiled
    assert trial.latencies


def test_a_compilation_that_fails_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    trial = trial_of({"name": "gru", "hidden_size": 16}, train={"compile": True})
    assert [incident.kind for incident in trial.incidents] == ["compile_failed"]
    assert "ompiler" in trial.incidents[0].detail
    assert not trial.workload.compiled


def test_training_that_diverges_is_timed_and_said() -> None:
    trial = trial_of(
        {"name": "rnn", "nonlinearity": "relu", "hidden_size": 16},
        data={"kind": "csv", "path": str(SAMPLES / "seattle_weather.csv")},
        train={"optimizer": "sgd", "learning_rate": 1e30},
        measure={"sweep": False},
    )
    assert "loss_not_finite" in [incident.kind for incident in trial.incidents]
    assert trial.steps[-1].loss is None
    assert trial.steps[-1].wall_s > 0


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sample_config_runs_shortened(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shorter = ["measure.pairs=3", "measure.max_s=1"]
    spec = load_spec(sample).spec
    if spec.data.target is None:  # batches of the user's own are of the size that they are
        shorter += ["data.seq_len=24", "data.batch_size=4"]
    if spec.model.name == "transformers":
        pytest.importorskip("transformers", reason="the extra seqprof[transformers] is missing")
    if spec.train.bptt.truncate is not None:
        shorter.append("train.bptt.truncate=8")
    if spec.data.lengths.minimum is not None:
        shorter.append("data.lengths.minimum=4")
    loaded = load_spec(sample, shorter)
    outcome = measure_run(loaded.spec, loaded.folder, "test", NoProgress())
    assert outcome.exit_code == 0
    printed = shown(outcome.recording)
    assert "Phases of a step" in printed.splitlines()
    assert widest(printed) <= 80


@pytest.mark.parametrize(
    ("ratios", "stride"),
    [
        ([1.0295] * 8, 6),  # three times the budget at stride 1: a span needs two marks
        ([1.03] * 7, 1),  # too few to judge
        ([1.03] * 6 + [1.0] * 2, 1),  # not clear enough
        ([0.97, 1.005] * 4, 1),
    ],
)
def test_the_stride_widens_only_when_pairs_are_clearly_over_budget(
    ratios: list[float], stride: int
) -> None:
    plan = StridePlan(stride=1, largest=100, budget=0.01, fixed=False)
    fixed = StridePlan(stride=1, largest=100, budget=0.01, fixed=True)
    for ratio in ratios:
        plan.judge(1.0, ratio)
        fixed.judge(1.0, ratio)
    assert (plan.stride, fixed.stride) == (stride, 1)
