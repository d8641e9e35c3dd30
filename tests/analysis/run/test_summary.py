"""From a recording to numbers, sentences and rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from example_recordings import (
    ALL,
    CPU_PHASES,
    accelerator,
    change_trial,
    cpu_cell,
    cpu_fused,
    interrupted,
    long,
    nothing_measured,
    nvml_failed,
    pairs,
    quiet_host,
)

from seqprof.analysis.run.phases import summarise_phases
from seqprof.analysis.run.rows import rows
from seqprof.analysis.run.summary import summarise
from seqprof.analysis.statistics import Estimate
from seqprof.errors import SeqprofError
from seqprof.recording import LoopFacts


def test_times_come_from_bare_steps_only() -> None:
    clean = cpu_cell()
    slow = change_trial(
        clean,
        steps=tuple(
            replace(
                step,
                wall_s=step.wall_s * 9,
                phases={
                    name: replace(timing, host_s=timing.host_s * 9)
                    for name, timing in step.phases.items()
                },
            )
            if step.kind == "probed"
            else step
            for step in clean.trials[0].steps
        ),
    )
    ours, theirs = summarise(slow), summarise(clean)
    assert ours.step == theirs.step
    assert ours.phases == theirs.phases
    assert ours.throughput == theirs.throughput
    assert ours.perturbation.change.value == pytest.approx(8.0, rel=0.02)


def test_phases_are_what_was_put_in() -> None:
    steps = pairs(CPU_PHASES, noise=0.0, perturbation=0.0)
    phases = summarise_phases(change_trial(cpu_cell(), steps=steps).trials[0], threads=2)
    assert [phase.phase for phase in phases] == list(CPU_PHASES)
    for phase in phases:
        assert phase.time.value == pytest.approx(CPU_PHASES[phase.phase])
        assert phase.clock == "host"
    assert sum(phase.share.value or 0.0 for phase in phases) == pytest.approx(1.0)


def test_an_accelerators_phases_are_on_its_own_clock() -> None:
    for phase in summarise(accelerator()).phases:
        assert phase.clock == "device"
        assert phase.time.value == pytest.approx(1.02 * (phase.host_time.value or 0.0))


def test_perturbation_knows_its_interval_and_budget() -> None:
    found = summarise(cpu_cell()).perturbation
    assert found.change.low is not None
    assert found.change.high is not None
    assert found.change.value is not None
    assert found.change.low <= found.change.value <= found.change.high
    assert found.budget == 0.01
    assert not found.over_budget


@pytest.mark.parametrize("name", ALL)
def test_null_values_have_a_reason_and_the_others_have_none(name: str) -> None:
    summary = msgspec.to_builtins(summarise(ALL[name]()))
    estimates = list(_estimates(summary))
    assert estimates
    for estimate in estimates:
        assert (estimate["value"] is None) == bool(estimate["reason"])
        assert estimate["method"]
        if estimate["low"] is not None:
            assert estimate["low"] <= estimate["value"] <= estimate["high"]


def _estimates(part: Any) -> Iterator[dict[str, Any]]:
    names = {"value", "low", "high", "unit", "method", "n", "independent", "reason"}
    if isinstance(part, dict):
        if set(part) == names:
            yield part
        for value in part.values():
            yield from _estimates(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _estimates(value)


def test_estimates_have_the_fields_that_this_test_looks_for() -> None:
    assert set(Estimate.__dataclass_fields__) == {
        *("value", "low", "high", "unit", "method", "n", "independent", "reason")
    }


def test_what_limits_a_cell() -> None:
    verdict = summarise(cpu_cell()).verdict
    assert "A step takes 137.6 ms; 91% of it is the loop over 64 timesteps" in verdict.sentences[0]
    assert "794 µs forward and 1.151 ms in BPTT" in verdict.sentences[1]
    assert verdict.next_command == (
        "seqprof run sample_configs/lstm.yaml --set model.execution=fused"
    )


def test_a_loop_whose_calls_take_several_timesteps_is_told_by_its_timesteps() -> None:
    pairs_of_two = LoopFacts(
        loop="body.layers.0.cell",
        timesteps=128,
        calls=64,
        rule="one for 2 timesteps",
        positions=64,
        timesteps_per_position=2,
    )
    verdict = summarise(change_trial(cpu_cell(), loops=(pairs_of_two,))).verdict
    assert "is the loop over 128 timesteps" in verdict.sentences[0]


def test_what_limits_a_launch_bound_accelerator() -> None:
    text = " ".join(summarise(accelerator()).verdict.sentences)
    assert "launch-bound" in text
    assert "idle 79% of the forward and 11% of the backward" in text


def test_cores_that_others_took_are_not_called_idle() -> None:
    starved = change_trial(cpu_cell(), steps=pairs(CPU_PHASES, busy=0.25))
    assert "Processor cores are idle 75%" in " ".join(summarise(starved).verdict.sentences)
    taken = change_trial(starved, host=replace(quiet_host(), process_cpu_s=3.5))
    text = " ".join(summarise(taken).verdict.sentences)
    assert "idle" not in text
    assert "without the processor's cores 75% of the forward" in text


def test_a_fused_model_is_never_said_to_have_timed_timesteps() -> None:
    summary = summarise(cpu_fused())
    assert summary.loops == ()
    assert summary.balances == ()
    text = " ".join(summary.verdict.sentences)
    assert "derived" in text
    assert "A timestep costs" not in text
    assert "data.batch_size=32" in summary.verdict.next_command


def test_what_the_model_asks_for_comes_before_the_doctor() -> None:
    """NVML is not available, which a caveat says; the finding is about the model."""
    assert "model.execution=fused" in summarise(nvml_failed()).verdict.next_command


def test_an_interrupted_run_says_so() -> None:
    summary = summarise(interrupted())
    assert summary.header.interrupted
    assert (summary.header.bare_steps, summary.header.probed_steps) == (3, 2)
    assert summary.step.value is not None
    assert summary.step.low is None


def test_nothing_measured_is_still_a_summary() -> None:
    summary = summarise(nothing_measured())
    assert summary.step.value is None
    assert summary.phases == ()
    assert "nothing can be said" in summary.verdict.sentences[0]


def test_a_recording_without_a_trial_is_refused() -> None:
    with pytest.raises(SeqprofError, match="no trial"):
        summarise(replace(cpu_cell(), trials=()))


@pytest.mark.parametrize(
    "command",
    [
        "seqprof run sample_configs/lstm.yaml -o a.json",
        "seqprof run sample_configs/lstm.yaml --output=a.json --json",
        "seqprof run -q sample_configs/lstm.yaml",
    ],
)
def test_the_next_command_does_not_overwrite_the_last_output(command: str) -> None:
    verdict = summarise(replace(cpu_cell(), command=command)).verdict
    assert verdict.next_command == (
        "seqprof run sample_configs/lstm.yaml --set model.execution=fused"
    )


# Rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_rows_say_what_the_summary_says(name: str) -> None:
    recording = ALL[name]()
    summary = summarise(recording)
    found = rows(summary, recording.trials[0])
    by_key = {(r.metric, r.phase, r.timestep, r.loop, r.clock): r for r in found}
    assert len(by_key) == len(found)  # a dashboard can tell any two apart
    assert by_key["step_time", None, None, None, None].value == summary.step.value
    for phase in summary.phases:
        row = by_key["phase_time", phase.phase, None, None, phase.clock]
        assert row.value == phase.time.value
    for row in found:
        assert (row.value is None) == (row.reason is not None)
        assert row.method
        assert row.unit in {"s", "1", "1/s", "B", "W", "J"}


def test_each_timestep_has_its_row() -> None:
    recording = cpu_cell()
    found = rows(summarise(recording), recording.trials[0])
    forward = [
        r.value for r in found if r.metric == "timestep_latency_p50" and r.phase == "forward"
    ]
    assert tuple(forward) == recording.trials[0].latencies[0].p50_s


def test_fused_models_have_no_row_with_a_timestep() -> None:
    recording = cpu_fused()
    found = rows(summarise(recording), recording.trials[0])
    assert all(row.timestep is None for row in found)
    derived = [row for row in found if row.metric == "marginal_time_per_timestep"]
    assert len(derived) == 3
    assert all(row.method.startswith("derived") for row in derived)


@pytest.mark.parametrize("most", [0, 1, 500, 5000, 1_000_000])
def test_rows_stay_within_their_limit_and_cover_all_timesteps(most: int) -> None:
    recording = long()
    found = [
        row
        for row in rows(summarise(recording), recording.trials[0], most)
        if row.timestep is not None
    ]
    series = {(r.metric, r.phase, r.clock) for r in found}
    assert len(series) == 8
    assert len(found) <= max(most, 8) + 8
    for key in series:
        own = [r for r in found if (r.metric, r.phase, r.clock) == key]
        assert sum(r.timesteps for r in own) == 4096
        assert [r.timestep for r in own] == sorted(r.timestep or 0 for r in own)
