"""Models and data sets as people have them (../shared/cases/train): each row of its table."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from terminal import shown

from seqprof.analysis.run.summary import summarise
from seqprof.errors import SeqprofError
from seqprof.measure.depth.counted import law_lengths, points_of, record
from seqprof.measure.depth.subjects import config_subject
from seqprof.measure.outcome import NoProgress
from seqprof.measure.run import measure_run
from seqprof.recording import Recording, Trial
from seqprof.spec_file import load_spec
from seqprof.workloads.build import build
from seqprof.workloads.data.opening import open_data
from seqprof.workloads.step import TrainingStep

CASES = Path(
    os.environ.get("SEQPROF_CASES", Path(__file__).parents[3] / "shared" / "cases" / "train")
)
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"there is no {CASES}")

FAST = ("measure.pairs=3", "measure.max_s=0.3", "measure.warmup=1")
STEP = """
import torch

def step(model, batch):
    logits, value, _ = model(batch["obs"], batch["state"], batch["done"])
    log_p = torch.log_softmax(logits, -1).gather(-1, batch["action"][..., None]).squeeze(-1)
    return -(log_p * batch["adv"]).mean() + (value.squeeze(-1) - batch["ret"]).pow(2).mean() / 2
"""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the case that the test is parametrised with; its modules are forgotten after it."""
    shutil.copytree(CASES / request.param, tmp_path / "case")
    (tmp_path / "case" / "own_step.py").write_text(STEP)
    yield tmp_path / "case"
    for file in (tmp_path / "case").glob("*.py"):
        sys.modules.pop(file.stem, None)


def case(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("folder", [name], indirect=True)


def step_of(folder: Path, config: str, *overrides: str) -> TrainingStep:
    loaded = load_spec(folder / config, overrides)
    built = build(loaded.spec, loaded.folder)
    return TrainingStep(built, loaded.spec, torch.device("cpu"))


def recording_of(folder: Path, config: str, *overrides: str) -> Recording:
    loaded = load_spec(folder / config, (*FAST, *overrides))
    outcome = measure_run(loaded.spec, loaded.folder, "test", NoProgress())
    assert outcome.exit_code == 0
    return outcome.recording


def trial_of(folder: Path, config: str, *overrides: str) -> Trial:
    return recording_of(folder, config, *overrides).trials[0]


def sizes(step: TrainingStep) -> tuple[int, int]:
    return step.timesteps, step.batch_size


def depths(folder: Path, config: str, *overrides: str) -> dict[int, int]:
    loaded = load_spec(folder / config, overrides)
    subject = config_subject(loaded.spec, loaded.folder, config, None)
    found: dict[int, int] = {}
    for length in law_lengths(subject, 16)[:3]:
        graph = record(subject, length)
        found |= {t: p.step.depth_ops for t, p in points_of(subject, graph, length).items()}
    return found


def slope(found: dict[int, int]) -> float:
    (t0, d0), (t1, d1) = min(found.items()), max(found.items())
    return (d1 - d0) / (t1 - t0)


# 02-layernorm-lstm ------------------------------------------------------------------------------


@case("02-layernorm-lstm")
@pytest.mark.parametrize("config", ["config.yaml", "config_autoloss.yaml"])
def test_layer_normalised_cells_time_first(folder: Path, config: str) -> None:
    trial = trial_of(folder, config)
    assert (trial.workload.timesteps, trial.workload.batch_size) == (100, 16)
    assert {(latency.loop, len(latency.samples)) for latency in trial.latencies} == {
        ("cells.0", 100),
        ("cells.1", 100),
    }
    assert trial.depth is not None
    assert trial.depth.coefficients["T"] == 38


@case("02-layernorm-lstm")
def test_the_loss_gets_the_whole_tuple(folder: Path) -> None:
    step = step_of(folder, "config.yaml")
    output, _ = step.forward(step.next_batch())
    assert isinstance(output, tuple)
    assert step.loss(output, step.next_batch()).dim() == 0


@case("02-layernorm-lstm")
def test_batch_first_has_the_same_law(folder: Path) -> None:
    assert slope(depths(folder, "batch_first.yaml")) == slope(depths(folder, "config.yaml")) == 38


@case("02-layernorm-lstm")
def test_a_length_for_data_of_ones_own_is_refused(folder: Path) -> None:
    with pytest.raises(SeqprofError, match="`seq_len` is for built-in data"):
        load_spec(folder / "small.yaml", ["data.seq_len=10"])


# 03-word-lm -------------------------------------------------------------------------------------


@case("03-word-lm")
@pytest.mark.parametrize("config", ["asis.yaml", "asis2.yaml"])
def test_a_state_handed_in_and_out_can_be_described(folder: Path, config: str) -> None:
    with pytest.raises(SeqprofError) as caught:
        step_of(folder, config)
    assert "without seqprof" not in f"{caught.value.message} {caught.value.hint}"
    assert "train.bptt: {carry: true}" in (caught.value.hint or "")
    bptt = "train.bptt={truncate: 35, update: chunk, carry: true}"
    step = step_of(folder, config, bptt)
    assert sizes(step) == (35, 20)
    assert "[T, B]" in (step.facts.time or "")
    assert {step.run().timesteps for _ in range(3)} == {(35,)}


@case("03-word-lm")
def test_truncated_with_data_time_first(folder: Path) -> None:
    assert sizes(step_of(folder, "asis_tbptt.yaml")) == (35, 20)
    step = step_of(folder, "wrapped.yaml")
    assert sizes(step) == (140, 20)
    assert step.run().positions == 2800


@case("03-word-lm")
def test_time_first_and_batch_first_are_one_model(folder: Path) -> None:
    first = step_of(folder, "tf.yaml")
    second = step_of(folder, "bf.yaml", "data.kwargs={T: 35}")
    assert sizes(first) == sizes(second) == (35, 20)
    assert "batch_first=False" in (first.facts.time or "")
    assert slope(depths(folder, "tf.yaml")) == slope(depths(folder, "bf.yaml")) == 30


# 06-recurrent-ppo -------------------------------------------------------------------------------


@case("06-recurrent-ppo")
def test_an_agent_stepped_by_hand(folder: Path) -> None:
    with pytest.raises(SeqprofError, match=r"its forward takes \(x, state, done\)") as caught:
        step_of(folder, "asis.yaml")
    assert "train.step" in (caught.value.hint or "")
    trial = trial_of(folder, "asis.yaml", "train.loss=null", "train.step=own_step:step")
    assert (trial.workload.timesteps, trial.workload.batch_size) == (128, 8)
    assert {(latency.loop, len(latency.samples)) for latency in trial.latencies} == {("lstm", 128)}


# 07-power-csv -----------------------------------------------------------------------------------


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(CASES / "07-power-csv", tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    runpy.run_path("make.py")
    return tmp_path / "case"


@pytest.mark.parametrize(
    ("file", "overrides", "columns", "said"),
    [
        ("power.txt", ["data.missing=interpolate"], 3, "63 missing values interpolated"),
        ("power.txt", ["data.missing=drop"], 3, "21 rows with gaps dropped"),
        ("vm.csv", [], 4, "4 columns"),
        ("decimal.csv", [], 2, "read as cp1252, decimal comma"),
        ("decimal_utf8.csv", [], 2, "decimal comma"),
        ("gaps.csv", ["data.missing=fill"], 2, "80 missing values filled"),
        ("long.csv", ["data.group=series_id"], 1, "20 series, 2,000 rows"),
        ("noheader.csv", [], 2, "2 columns"),
    ],
)
def test_every_file_can_be_read(
    power: Path, file: str, overrides: list[str], columns: int, said: str
) -> None:
    loaded = load_spec(power / "config.yaml", [f"data.path={file}", *overrides])
    data = open_data(loaded.spec, loaded.folder)
    assert data.facts.features == columns
    assert said in data.facts.description
    for batch in islice(data, 3):
        assert batch.inputs.isfinite().all()
        assert batch.inputs.shape == (16, 48, columns)


@pytest.mark.parametrize(
    ("file", "message", "hint"),
    [
        ("power.txt", r"power\.txt:7:\d+: column 'Global_active_power' has no", "data.missing"),
        ("gaps.csv", r"gaps\.csv:5:24: column 'x1' has no value: ''", "data.missing"),
    ],
)
def test_what_is_refused_says_what_to_set(power: Path, file: str, message: str, hint: str) -> None:
    loaded = load_spec(power / "config.yaml", [f"data.path={file}"])
    with pytest.raises(SeqprofError, match=message) as caught:
        open_data(loaded.spec, loaded.folder)
    assert hint in (caught.value.hint or "")


# 10-awd-lstm ------------------------------------------------------------------------------------


@case("10-awd-lstm")
def test_t_of_a_padded_loader_is_that_of_each_batch(folder: Path) -> None:
    step = step_of(folder, "padded_cell.yaml")
    seen = [step.run() for _ in range(5)]
    assert [result.timesteps for result in seen] == [(38,), (37,), (37,), (39,), (39,)]
    assert seen[4].batch_sizes == (6,)
    ordered = step_of(folder, "padded_cell.yaml", "data.kwargs={sort: true}")
    lengths = [ordered.run().timesteps[0] for _ in range(5)]
    assert lengths == sorted(lengths, reverse=True)


@case("10-awd-lstm")
@pytest.mark.parametrize("config", ["cell.yaml", "padded_cell.yaml", "config.yaml"])
def test_lengths_that_vary_are_measured_to_the_end(folder: Path, config: str) -> None:
    recording = recording_of(folder, config, "measure.pairs=8", "measure.timesteps.stride=1")
    trial, summary = recording.trials[0], summarise(recording)
    assert not [incident for incident in trial.incidents if incident.kind == "step_failed"]
    lengths = summary.header.lengths
    assert lengths is not None
    assert {t for step in trial.steps for t in step.timesteps} >= {
        lengths.shortest,
        lengths.longest,
    }
    assert f"T {lengths.shortest}–{lengths.longest}" in shown(recording).splitlines()[0]
    for latency in trial.latencies:
        # Every sequence has a first timestep; only the longest have the last.
        assert latency.samples[0] == max(latency.samples) > 0
        assert list(latency.samples) == sorted(latency.samples, reverse=True)
    assert bool(trial.latencies) == (config != "config.yaml")


# 13-loop-counts ---------------------------------------------------------------------------------


@case("13-loop-counts")
@pytest.mark.parametrize("model", ["Minus1", "Half", "Twice", "Interleaved"])
def test_other_counts_of_calls_train(folder: Path, model: str) -> None:
    step = step_of(folder, "config.yaml", f"model.target=counts:{model}")
    assert sizes(step) == (40, 8)
    assert step.incidents == ()
    assert step.run().timesteps == (40,)


@case("13-loop-counts")
@pytest.mark.parametrize(
    ("model", "rule", "spans", "per_span"),
    [
        ("Minus1", "1 less than timesteps", 39, 1),
        ("Half", "one for 2 timesteps", 20, 2),
        ("Twice", "2 a timestep", 40, 1),
        ("Interleaved", "one a timestep", 40, 1),
    ],
)
def test_counts_of_calls_are_told_as_they_are(
    folder: Path, model: str, rule: str, spans: int, per_span: int
) -> None:
    recording = recording_of(folder, "config.yaml", f"model.target=counts:{model}")
    loop = recording.trials[0].loops[0]
    assert (loop.rule, loop.positions, loop.timesteps_per_position) == (rule, spans, per_span)
    assert {len(latency.p50_s) for latency in recording.trials[0].latencies} == {spans}
    said = re.findall(r"the loop over (\d+) timesteps", " ".join(shown(recording).split()))
    assert set(said) <= {str(spans * per_span)}  # where the loop is most of the step


# 14-flatten-fixed-T, 16-dict-io, 20-jit-cell ----------------------------------------------------


@case("14-flatten-fixed-T")
def test_a_head_of_one_length_has_no_prefixes_and_says_why(folder: Path) -> None:
    trial = trial_of(folder, "flatten.yaml")
    assert trial.workload.timesteps == 30
    assert "takes no shorter sequences: mat1 and mat2" in (trial.sweep_reason or "")
    assert trial.sweep == ()


@case("14-flatten-fixed-T")
@pytest.mark.parametrize("config", ["last.yaml", "last1d.yaml"])
def test_labels_of_one_number_a_sequence(folder: Path, config: str) -> None:
    step = step_of(folder, config)
    assert sizes(step) == (30, 32)
    first = step.run()
    assert step.prefixes.possible
    output, _ = step.forward(step.next_batch())
    loss = step.loss(output, step.next_batch())
    assert first.loss.isfinite()
    assert loss < 3  # [B, 1] against [B]: not every prediction against every label


@case("16-dict-io")
@pytest.mark.parametrize(
    "config", ["asis.yaml", "dict_out.yaml", "named.yaml", "hidden_first.yaml"]
)
def test_dicts_and_named_tuples_in_and_out(folder: Path, config: str) -> None:
    step = step_of(folder, config)
    output, _ = step.forward(step.next_batch())
    kind = {"named.yaml": "Out", "hidden_first.yaml": "tuple"}.get(config, "dict")
    assert type(output).__name__ == kind
    assert sizes(step) == (30, 8)
    assert step.run().loss.isfinite()


@case("20-jit-cell")
@pytest.mark.parametrize("how", ["eager", "cell", "layer"])
def test_torchscript_trains(folder: Path, how: str) -> None:
    trial = trial_of(folder, "config.yaml", f"model.kwargs={{how: {how}}}")
    assert len(trial.steps) >= 3
    assert trial.latencies or trial.timesteps_reason


@case("03-word-lm")
def test_the_report_says_where_t_is_and_a_second_reading_first(folder: Path) -> None:
    script = ["run", "tf.yaml", *(part for text in FAST for part in ("--set", text))]
    plain = run_seqprof(folder, *script)
    assert "Your batches: T = 35, B = 20: inputs is [T, B], from LSTM `rnn`" in plain
    doubtful = run_seqprof(folder, *script, "--set", "data.time_dim=1")
    said = "can be read in two ways"
    assert said in doubtful
    assert doubtful.index(said) < doubtful.index("A step takes")


def run_seqprof(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "seqprof", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    return " ".join(done.stdout.split())
