"""The pass under torch.profiler in a real run: on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from command_line import SAMPLES
from terminal import shown

from seqprof.analysis.run.summary import summarise
from seqprof.analysis.timeline.alignment import Alignment
from seqprof.instruments.torch_bridge import kernel_activity
from seqprof.measure.outcome import NoProgress, Outcome
from seqprof.measure.run import measure_run
from seqprof.measure.trial import profiled
from seqprof.recording import DeviceSamples, ProfiledPass, SampleSeries
from seqprof.spec import Spec
from seqprof.traces.tracks import PROCESS

T = 12
CELL = {"name": "lstm", "execution": "cell", "hidden_size": 16}

#: Byte model that raises once a profiler runs.
REFUSING = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(256, 8), nn.Linear(8, 256)
    def forward(self, tokens):
        if torch.autograd._profiler_enabled():
            raise RuntimeError("not under a profiler")
        return self.head(self.embedding(tokens))
"""


def run(
    trace: Path | None = None,
    model: dict[str, Any] = CELL,
    train: Any = None,
    folder: Path = SAMPLES,
    **measure: Any,
) -> Outcome:
    spec = Spec.model_validate(
        {
            "model": model,
            "data": {"seq_len": T, "batch_size": 2},
            "train": train or {},
            "measure": {
                "pairs": 3,
                "max_s": 0.1,
                "warmup": 1,
                "threads": 1,
                "sweep": False,
                **measure,
            },
        }
    )
    return measure_run(spec, folder, "test", NoProgress(), trace)


def pass_of(outcome: Outcome) -> ProfiledPass:
    made = outcome.recording.trials[0].profile
    assert made is not None
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, Any]]:
    path = tmp_path_factory.mktemp("trace") / "kept.json.gz"
    outcome = run(path, device="cpu")
    with gzip.open(path) as file:
        return outcome, json.load(file)


def test_operators_per_timestep(kept: tuple[Outcome, dict[str, Any]]) -> None:
    made = pass_of(kept[0])
    assert kept[0].trace_kept
    assert (made.on, made.reason, made.steps) == ("processor", None, 3)
    assert len(made.wall_s) == 3
    loops = {loop.phase: loop for loop in made.timesteps}
    assert set(loops) == {"forward", "backward"}
    for loop in loops.values():
        assert len(loop.activities) == T
        # The same work in every timestep but those at the ends.
        assert len(set(loop.activities[1:-1])) == 1
        assert all(busy is not None and busy > 0 for busy in loop.busy_s)
        assert all(idle is not None and idle >= 0 for idle in loop.idle_s)
    phases = {phase.phase: phase for phase in made.phases}
    assert {"data", "forward", "loss", "backward", "optimizer"} <= set(phases)
    for phase, loop in loops.items():
        inside = sum(count or 0 for count in loop.activities)
        assert 0.5 * phases[phase].activities < inside <= phases[phase].activities
        assert sum(busy or 0 for busy in loop.busy_s) <= phases[phase].busy_s * (1 + 1e-9)
    cells = next(total for total in made.activities if total.name == "aten::lstm_cell")
    assert cells.calls == T
    assert made.clock_error_s is not None
    # What the profiler does between two steps lies in none.
    assert made.whole is not None
    assert made.whole.window_s < mean(made.wall_s) + made.clock_error_s


def test_it_shows_beside_the_bare_steps(kept: tuple[Outcome, dict[str, Any]]) -> None:
    summary = summarise(kept[0].recording)
    assert summary.profile is not None
    assert summary.profile.slowdown.value is not None
    assert len([s for s in kept[0].recording.trials[0].steps if s.kind == "bare"]) >= 3
    assert all(entry.busy_fraction.value is None for entry in summary.idle)  # no device
    printed = " ".join(shown(kept[0].recording).split())
    assert "Operators on the processor" in printed
    assert "Of 3 steps under torch.profiler" in printed


def own(document: dict[str, Any], ph: str) -> list[dict[str, Any]]:
    return [e for e in document["traceEvents"] if e.get("pid") == PROCESS and e["ph"] == ph]


def test_the_kept_trace_follows_the_trace_event_rules(
    kept: tuple[Outcome, dict[str, Any]],
) -> None:
    document = kept[1]
    names = {(e["tid"], e["name"]): e["args"]["name"] for e in own(document, "M")}
    assert names[(0, "process_name")] == "seqprof"
    tracks = defaultdict(list)
    for event in own(document, "X"):
        assert event["dur"] >= 0
        assert set(event) >= {"name", "cat", "ts", "pid", "tid"}
        tracks[names[(event["tid"], "thread_name")]].append(event)
    assert {track.split(" ")[0] for track in tracks} == {"phases", "timesteps"}
    for bars in tracks.values():  # bars of one track do not overlap (to the float's last digit)
        bars.sort(key=lambda bar: bar["ts"])
        for one, following in pairwise(bars):
            assert one["ts"] + one["dur"] <= following["ts"] + 0.002
    pids = {e.get("pid") for e in document["traceEvents"] if e.get("cat") == "cpu_op"}
    assert PROCESS not in pids
    assert document["schemaVersion"] == 1  # what the profiler wrote is still there


def test_timesteps_lie_inside_their_phase(kept: tuple[Outcome, dict[str, Any]]) -> None:
    """The phases are on the profiler's clock, the timesteps were stamped on the host's."""
    outcome, document = kept
    error_us = (pass_of(outcome).clock_error_s or 0) * 1e6 + 0.002
    names = {e["tid"]: e["args"]["name"] for e in own(document, "M") if e["name"] == "thread_name"}
    bars = own(document, "X")
    for phase in ("forward", "backward"):
        around = [
            (b["ts"], b["ts"] + b["dur"])
            for b in bars
            if names[b["tid"]] == "phases" and b["name"] == phase
        ]
        inside = [b for b in bars if names[b["tid"]].endswith(f", {phase}")]
        assert len(inside) == 3 * T
        assert {b["name"] for b in inside} == {f"timestep {t}" for t in range(T)}
        for bar in inside:
            assert any(
                start - error_us <= bar["ts"] and bar["ts"] + bar["dur"] <= end + error_us
                for start, end in around
            )


@pytest.mark.parametrize(
    ("model", "train"),
    [
        ({**CELL, "bidirectional": True}, {}),
        (CELL, {"bptt": {"truncate": 8}, "accumulate": 2}),
    ],
)
def test_reversed_chunked_and_accumulated(model: dict[str, Any], train: dict[str, Any]) -> None:
    made = pass_of(run(model=model, train=train, profile=True, profile_steps=1, device="cpu"))
    assert made.reason is None
    assert made.steps == 1
    for loop in made.timesteps:
        assert len(loop.activities) == T
        assert all(count is not None and count >= 1 for count in loop.activities)


def test_without_timesteps_the_phases_remain() -> None:
    made = pass_of(run(model={**CELL, "execution": "fused"}, profile=True, device="cpu"))
    assert made.timesteps == ()
    assert made.timesteps_reason is not None
    assert made.whole is not None


def test_the_processor_is_not_slowed_unasked() -> None:
    outcome = run(device="cpu")
    made = pass_of(outcome)
    assert made.whole is None
    assert "measure.profile" in (made.reason or "")
    kinds = [incident.kind for incident in outcome.recording.trials[0].incidents]
    assert not any(kind.startswith("profile") for kind in kinds)


def test_torch_warns_of_nothing_that_the_pass_does(recwarn: pytest.WarningsRecorder) -> None:
    """Of events cleared between the profiler's steps, for one; they are not needed after them."""
    assert pass_of(run(profile=True, device="cpu")).reason is None
    assert [str(warning.message) for warning in recwarn] == []


def test_a_profiler_that_fails_costs_only_its_own_figures(tmp_path: Path) -> None:
    """A model that cannot be profiled is still measured."""
    (tmp_path / "refusing_model.py").write_text(REFUSING)
    trace = tmp_path / "t.json"
    trace.write_text("older")
    model = {"target": "refusing_model:Model"}
    outcome = run(trace, model=model, folder=tmp_path, device="cpu")
    assert outcome.exit_code == 0
    assert pass_of(outcome).reason == "RuntimeError: not under a profiler"
    assert "profile_failed" in [c.kind for c in summarise(outcome.recording).caveats]
    assert trace.read_text() == "older"
    assert not outcome.trace_kept


def test_steps_too_long_for_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiled, "MOST_OPERATIONS", 100)
    outcome = run(profile=True, device="cpu")
    assert "too long" in (pass_of(outcome).reason or "")
    assert outcome.exit_code == 0


def test_a_trace_that_cannot_be_written(tmp_path: Path) -> None:
    outcome = run(tmp_path / "gone" / "t.json", device="cpu")
    assert pass_of(outcome).reason is None
    assert "trace_not_written" in [c.kind for c in summarise(outcome.recording).caveats]


def test_samples_become_counters_on_the_traces_clock() -> None:
    """Inside the pass, with the last sample before it and the first after it."""
    series = SampleSeries(
        metric="nvml_utilization", source="NVML", at_s=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        value=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    )  # fmt: skip
    alignment = Alignment((0,), (1_000_000_000_000,), 0)
    span = 1_000_250_000_000, 1_000_450_000_000
    found = list(profiled._counters(DeviceSamples(series=(series,)), 0, alignment, span))
    assert [round((c.at_ns - 1_000_000_000_000) / 1e8) for c in found] == [2, 3, 4, 5]
    assert [c.value for c in found] == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_on_a_real_gpu(tmp_path: Path) -> None:
    device = torch.device("cuda", 0)
    assert kernel_activity(device) is not None
    outcome = run(tmp_path / "t.json.gz", device="cuda:0", dwell_s=0.3)
    made = pass_of(outcome)
    assert (made.on, made.reason) == ("device", None)
    assert made.whole is not None
    assert 0 < made.whole.busy_s <= made.whole.window_s
    idle = {entry.phase: entry for entry in summarise(outcome.recording).idle}
    for phase in ("forward", "backward", "step"):
        assert 0 < (idle[phase].busy_fraction.value or 0) <= 1
    for loop in made.timesteps:
        assert len(loop.activities) == T
        counts = [count for count in loop.activities[1:-1] if count is not None]
        assert len(counts) == T - 2
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= 2  # the clocks' error may move a launch over a mark
    assert (tmp_path / "t.json.gz").exists()
