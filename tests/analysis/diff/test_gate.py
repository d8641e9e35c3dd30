"""The gate: it fails only what is slower beyond doubt, and passes nothing that it cannot see."""

from __future__ import annotations

import pytest
from diff_recordings import again, base, contended, held_up, slower
from example_recordings import change_trial, nothing_measured

from seqprof.analysis.diff.differences import Differences, find_differences
from seqprof.analysis.diff.differences_in_words import gate_in_words
from seqprof.analysis.diff.gate import Gate, choose, hold, parse_threshold
from seqprof.errors import SeqprofError
from seqprof.recording import PHASES, Recording


def differences(new: Recording) -> Differences:
    return find_differences([base()], [new])


def gate(new: Recording, *metrics: str, threshold: float = 0.05) -> Gate:
    found = differences(new)
    return hold(found, threshold, choose(found, metrics or ("step_time",)))


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), (" 2.5 % ", 0.025)])
def test_a_threshold_is_a_share(text: str, value: float) -> None:
    assert parse_threshold(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["5", "0", "0%", "100%", "-5%", "five", "", "nan", "inf", "1e-2"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(SeqprofError, match="not a threshold"):
        parse_threshold(text)


def test_a_metric_without_its_phase_is_all_of_them() -> None:
    found = differences(again())
    assert choose(found, ["phase_time"]) == tuple(
        f"phase_time.{phase}" for phase in ("data", "forward", "loss", "backward", "optimizer")
    )
    assert choose(found, ["step_time", "step_time"]) == ("step_time",)
    with pytest.raises(SeqprofError, match="did you mean 'step_time'"):
        choose(found, ["steptime"])


@pytest.mark.parametrize(
    ("times", "verdict"),
    [(0.8, "passed"), (1.0, "passed"), (1.05, "inconclusive"), (1.3, "failed")],
)
def test_verdicts_of_the_step(times: float, verdict: str) -> None:
    (found,) = gate(slower(dict.fromkeys(PHASES, times))).metrics
    assert found.verdict == verdict
    (line,) = gate_in_words(gate(slower({"forward": times, "backward": times})))
    assert "step_time (T = 64, batch 16)" in line


def test_throughput_is_worse_when_it_is_less() -> None:
    (found,) = gate(slower({"forward": 1.3, "backward": 1.3}), "throughput").metrics
    assert found.verdict == "failed"
    assert found.slowdown.value == pytest.approx(1.29, abs=0.03)


def test_a_bar_that_is_wide_enough_lets_it_pass() -> None:
    new = slower({"forward": 1.3, "backward": 1.3})
    assert gate(new, threshold=0.5).metrics[0].verdict == "passed"


def test_fewer_than_six_steps_prove_nothing() -> None:
    new = slower({"backward": 3.0})
    few = change_trial(new, steps=tuple(s for s in new.trials[0].steps if s.pair < 4))
    (found,) = gate(few).metrics
    assert found.verdict == "not compared"
    assert "6 steps" in str(found.reason)


def test_what_was_not_measured_does_not_pass() -> None:
    (found,) = gate(nothing_measured()).metrics
    assert found.verdict == "not compared"
    assert found.reason == "null in new: Ctrl-C"


def test_what_is_neither_good_nor_bad_is_not_gated() -> None:
    assert {m.verdict for m in gate(again(), "core_busy_fraction").metrics} == {"not compared"}


def test_other_programs_are_not_taken_for_a_slower_one() -> None:
    """The wall time rose by a half, the processor time of the steps did not."""
    (found,) = gate(held_up(1.5)).metrics
    assert found.verdict == "inconclusive"
    assert "other programs competed for the processor" in str(found.reason)
    worked_longer = contended(slower({"forward": 1.5, "backward": 1.5}))
    assert gate(worked_longer).metrics[0].verdict == "failed"


def test_a_few_slow_steps_are_not_a_slower_program() -> None:
    """More than half of the steps twice as slow, the fast quartile as before."""
    steps = list(again().trials[0].steps)
    slow = slower(dict.fromkeys(PHASES, 2.0)).trials[0].steps
    mixed = tuple(s if i % 20 < 13 else f for i, (f, s) in enumerate(zip(steps, slow, strict=True)))
    (found,) = gate(change_trial(again(), steps=mixed)).metrics
    assert found.verdict in ("inconclusive", "passed")
    (metric,) = (
        m
        for m in differences(change_trial(again(), steps=mixed)).cases[0].metrics
        if m.key == "step_time"
    )
    assert metric.fast is not None
    assert metric.fast.low is not None
    assert metric.fast.low <= 1.0
