"""Recordings of a real GPU: every format shows them, and their figures agree with one another."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from seqprof import store
from seqprof.analysis.run.summary import Summary, summarise
from seqprof.recording import Recording
from seqprof.reports.formats import load, names, result_of

H100 = Path(__file__).parents[1] / "data" / "h100"
RECORDED = sorted((H100 / "recordings").glob("*.json"))
#: Between an event of ours and the script's beside it: hooks, and what torch does between them.
BESIDE = 0.03
#: What a phase's busy share is by hand and by the summary may differ by: medians of other steps.
POINTS = 0.03


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> Recording:
    return store.load(request.param)


@pytest.fixture
def summary(recording: Recording) -> Summary:
    return summarise(recording)


def test_there_are_recordings() -> None:
    assert len(RECORDED) == 3


@pytest.mark.parametrize("name", names())
def test_every_format_shows_it(recording: Recording, name: str) -> None:
    shown = load(name).render([result_of(recording, "run.json")])
    assert len(shown) > 200


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_idle_is_what_the_kernels_leave_of_a_phase_that_nothing_slowed(
    recording: Recording, summary: Summary, phase: str
) -> None:
    [trial] = recording.trials
    assert trial.profile is not None
    kernels = next(part for part in trial.profile.phases if part.phase == phase)
    kinds = ("metered",) if trial.loop is not None else ("bounded",)
    times = (step.phases[phase].device_s for step in trial.steps if step.kind in kinds)
    timed = [seconds for seconds in times if seconds is not None]
    assert kernels.busy_s is not None
    by_hand = 1.0 - kernels.busy_s / median(timed)
    idle = next(entry for entry in summary.idle if entry.phase == phase)
    assert idle.idle_source == "busy_fraction"
    assert idle.idle_time.value is not None
    assert idle.time.value is not None
    assert idle.idle_time.value / idle.time.value == pytest.approx(by_hand, abs=POINTS)


def test_nvml_takes_gaps_between_kernels_for_busy(recording: Recording, summary: Summary) -> None:
    told = [i for i in summary.idle if i.nvml_utilization.value is not None]
    assert bool(told) is (recording.trials[0].loop is None)  # a script's phases are not repeated
    for idle in told:
        assert idle.busy_fraction.value is not None
        assert idle.nvml_utilization.value is not None
        assert idle.nvml_utilization.value > idle.busy_fraction.value


def test_no_table_tells_idle_by_nvml(recording: Recording) -> None:
    """Each has it from the kernels, and says so."""
    shown = load("markdown").render([result_of(recording, "run.json")]).decode()
    assert "kernels' seconds in profiled steps" in shown
    assert "idle: time − NVML utilization" not in shown


def test_a_script_s_phases_and_timesteps_have_the_device_s_time() -> None:
    """Against the events that the script recorded itself, step by step."""
    [trial] = store.load(H100 / "recordings" / "exec.json").trials
    truth = json.loads((H100 / "exec_truth.json").read_text())
    assert trial.loop is not None
    measured = [i for i in trial.loop.iterations if i.kind not in ("warmup", "profiled")]
    marked = 0
    for iteration, step in zip(measured, trial.steps, strict=True):
        for phase in ("forward", "backward"):
            own_s = truth[phase][iteration.index] * 1e-3
            device_s = step.phases[phase].device_s
            if step.kind == "metered":
                assert device_s == pytest.approx(own_s, rel=BESIDE)
            for loop in (loop for loop in step.loops if loop.phase == phase):
                assert loop.device_s is not None
                assert 0.8 * own_s < loop.device_s < own_s  # the rest is before and after the loop
                marked += 1
    assert marked == 20
    for latency in (one for one in trial.latencies if one.clock == "device"):
        assert len(latency.p50_s) == 64
        assert all(value for value in latency.p50_s)
