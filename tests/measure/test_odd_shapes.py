"""What is told of models whose operations, sizes or gradients are not what they look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqprof.analysis.run.kernels import kind_of_kernels, operations_per_timestep
from seqprof.analysis.run.summary import summarise
from seqprof.instruments.clocks import host_clock_ns
from seqprof.measure.outcome import NoProgress
from seqprof.measure.run import measure_run
from seqprof.measure.trial.assembly import assemble
from seqprof.measure.trial.bench import Bench
from seqprof.recording import Recording
from seqprof.spec import Spec

FOLDER = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models on a busy machine: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(model: str, batches: str, own_step: bool = False) -> Spec:
    return Spec.model_validate(
        {
            "model": {"target": f"paired_models:{model}"},
            "data": {"target": f"paired_models:{batches}_batches"},
            "train": {"step": f"paired_models:{batches}_step"} if own_step else {},
            "measure": {"device": "cpu", "threads": 1, "warmup": 3, "pairs": 2, "max_s": 0.2},
        }
    )


def bench_of(spec: Spec) -> Bench:
    made = assemble(spec, FOLDER, torch.device("cpu"), NoProgress())
    return Bench(made, spec, FOLDER, host_clock_ns(), NoProgress())


def recorded(spec: Spec) -> Recording:
    outcome = measure_run(spec, FOLDER, "test", NoProgress())
    assert outcome.exit_code == 0
    return outcome.recording


@pytest.mark.parametrize(
    ("model", "batches", "kind", "per_timestep"),
    [("Shallow", "shallow", "whole_sequence", 0), ("Scan", "scan", "unrolled", 2)],
)
def test_operations_are_of_the_timesteps_where_a_longer_sequence_has_more(
    model: str, batches: str, kind: str, per_timestep: float
) -> None:
    made = bench_of(spec_of(model, batches)).prepare()
    (timesteps, _), lengths = made.workload.sizes, made.operations_by_length
    assert sum(c.calls for c in made.operations if c.phase == "forward") > timesteps
    assert kind_of_kernels(made.operations, timesteps, lengths=lengths) == kind
    assert operations_per_timestep(made.operations, timesteps, lengths) == per_timestep
    assert ("operations per timestep" in str(made.timesteps_reason)) == (kind == "unrolled")


def test_a_sweep_takes_the_prefixes_of_one_batch_where_their_sizes_differ() -> None:
    bench = bench_of(spec_of("Shallow", "shallow"))
    bench.prepare()
    swept = bench.sweep(0.0)
    assert swept.reason is None
    longest = max(point.timesteps for point in swept.points)
    assert longest >= bench.step.timesteps
    quarters = {longest * part // 4 for part in range(1, 5)}
    assert {point.timesteps for point in swept.points} == quarters


def test_a_loop_of_another_sequence_is_timed() -> None:
    trial = recorded(spec_of("Synthesizer", "synthesizer", own_step=True)).trials[0]
    [loop] = trial.loops
    assert (loop.loop, loop.rule) == ("decoder + out", "one for 2 timesteps")
    [forward] = [latency for latency in trial.latencies if latency.phase == "forward"]
    assert len(forward.p50_s) in {9, 12, 15}  # of the longest that was probed


def test_calls_that_read_and_then_write_are_timed_one_by_one() -> None:
    trial = recorded(spec_of("Copier", "copier")).trials[0]
    [loop] = trial.loops
    assert (loop.rule, loop.by_call) == ("2 a timestep, 1 less in all", True)
    assert loop.calls == 2 * loop.timesteps - 1
    longest = max(max(step.timesteps) for step in trial.steps if step.kind == "probed")
    assert {len(latency.p50_s) for latency in trial.latencies} == {2 * longest - 1}


def test_bptt_that_no_gradient_marks_is_said() -> None:
    recording = recorded(spec_of("Mapped", "scan"))
    assert {latency.phase for latency in recording.trials[0].latencies} == {"forward"}
    caveats = {caveat.kind: caveat for caveat in summarise(recording).caveats}
    assert caveats["bptt_unmarked"].evidence == "`cell`"


def test_backwards_that_a_step_runs_itself_are_said() -> None:
    kinds = {
        own_step: {c.kind: c for c in summarise(recorded(spec_of(*models, own_step=True))).caveats}
        for own_step, models in {
            "two": ("Adversaries", "adversaries"),
            "none": ("Synthesizer", "synthesizer"),
        }.items()
    }
    assert "1 in one step" in str(kinds["two"]["backward_inside"].evidence)
    assert "backward_inside" not in kinds["none"]


@pytest.mark.parametrize("alike", [True, False])
def test_memory_that_grows_a_little_with_new_sizes_is_no_leak(alike: bool) -> None:
    recording = recorded(spec_of("Scan", "scan"))
    trial = recording.trials[0]
    step = trial.steps[0]
    steps = tuple(
        replace(
            step,
            pair=index,
            held_bytes=100_000_000 + 300_000 * index,
            batch_sizes=step.batch_sizes if alike or index % 2 else (99,),
        )
        for index in range(24)
    )
    grown = replace(recording, trials=(replace(trial, steps=steps),))
    kinds = {caveat.kind for caveat in summarise(grown).caveats}
    assert ("memory_grows" in kinds) == alike
