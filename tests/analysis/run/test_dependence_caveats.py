"""Waiting, resemblance and figures that disagree are told, and silent where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_recordings import ALL, change_trial, cpu_cell, quiet_host

from seqprof.analysis.run.agreement import apart
from seqprof.analysis.run.summary import summarise
from seqprof.recording import Recording


def kinds(recording: Recording) -> set[str]:
    return {caveat.kind for caveat in summarise(recording).caveats}


def test_waiting_for_a_processor_is_told() -> None:
    host = quiet_host()
    waited = replace(
        host, run_delay_s=0.3 * host.window_s, machine_busy_s=host.process_cpu_s + host.window_s
    )
    assert "contended" in kinds(change_trial(cpu_cell(), host=waited))
    assert "contended" not in kinds(change_trial(cpu_cell(), host=replace(host, run_delay_s=0.0)))
    assert "contended" not in kinds(change_trial(cpu_cell(), host=host))


def test_waiting_is_laid_on_others_as_far_as_they_had_a_processor() -> None:
    host = replace(quiet_host(), window_s=10.0, run_delay_s=4.0)
    own = host.process_cpu_s
    found = {
        others_s: kinds(change_trial(cpu_cell(), host=replace(host, machine_busy_s=own + others_s)))
        & {"contended", "crowded"}
        for others_s in (0.0, 0.5, 3.5, 9.0)
    }
    assert found == {
        0.0: {"crowded"},
        0.5: {"crowded"},
        3.5: {"contended"},
        9.0: {"contended"},
    }


def test_steps_that_drift_tell_less_than_their_number() -> None:
    recording = cpu_cell()
    [trial] = recording.trials
    steps = tuple(
        replace(step, wall_s=step.wall_s * (1 + 0.05 * step.pair)) for step in trial.steps
    )
    assert "dependent" in kinds(replace(recording, trials=(replace(trial, steps=steps),)))


def test_phases_that_do_not_add_up_to_the_step_are_told() -> None:
    recording = cpu_cell()
    [trial] = recording.trials
    steps = tuple(
        replace(step, wall_s=1.5 * step.wall_s) if step.kind == "bare" else step
        for step in trial.steps
    )
    assert "disagreement" not in kinds(recording)
    told = replace(recording, trials=(replace(trial, steps=steps),))
    texts = [c.text for c in summarise(told).caveats if c.kind == "disagreement"]
    assert any("the phases together, and the step" in text for text in texts)


@pytest.mark.parametrize(
    ("a", "b", "differ"),
    [((1, 2), (2, 3), False), ((1, 2), (2.05, 3), False), ((1, 2), (2.4, 3), True)],
)
def test_intervals_that_touch_agree(
    a: tuple[float, float], b: tuple[float, float], differ: bool
) -> None:
    assert apart(a, b) is differ
    assert apart(b, a) is differ


@pytest.mark.parametrize("name", ALL)
def test_every_example_can_be_held_against_itself(name: str) -> None:
    summarise(ALL[name]())
