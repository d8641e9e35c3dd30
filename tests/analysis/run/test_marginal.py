"""The derived cost of one more timestep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from example_recordings import change_trial, cpu_cell, cpu_fused
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import theilslopes  # type: ignore[import-untyped]

from seqprof.analysis.run.marginal import derive_marginal, theil_sen

point = st.tuples(
    st.integers(min_value=1, max_value=8).map(float),
    st.floats(min_value=1e-6, max_value=1e3),
)


@given(
    st.lists(point, min_size=4, max_size=40).filter(lambda points: len({x for x, _ in points}) > 1)
)
def test_theil_sen_agrees_with_scipy(points: list[tuple[float, float]]) -> None:
    x, y = zip(*points, strict=True)
    with np.errstate(invalid="ignore"):
        theirs = theilslopes(y, x, alpha=0.95)
    assume(not math.isnan(theirs.low_slope))  # scipy, where nearly all y are the same
    expected = (theirs.slope, theirs.low_slope, theirs.high_slope)
    assert theil_sen(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_slopes_that_were_put_in_come_out() -> None:
    costs = {str(cost.phase): cost for cost in derive_marginal(cpu_fused().trials[0])}
    for phase, truth in (("forward", 150e-6), ("backward", 300e-6), ("step", 450e-6)):
        marginal = costs[phase].marginal
        assert marginal.value == pytest.approx(truth, rel=0.03)
        assert marginal.low is not None
        assert marginal.high is not None
        assert marginal.low <= truth <= marginal.high
        assert marginal.method.startswith("derived")
        assert (costs[phase].shortest, costs[phase].longest) == (16, 64)


def test_one_outlier_does_not_move_it() -> None:
    trial = cpu_fused().trials[0]
    wild = (replace(trial.sweep[0], forward_s=9.0), *trial.sweep[1:])
    cost = derive_marginal(replace(trial, sweep=wild))[0]
    assert cost.marginal.value == pytest.approx(150e-6, rel=0.05)


def test_measured_timesteps_need_no_derived_cost() -> None:
    assert derive_marginal(cpu_cell().trials[0]) == ()


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_too_few_points_give_null_with_the_reason(kept: int) -> None:
    made = cpu_fused()
    cut = change_trial(made, sweep=made.trials[0].sweep[:kept]).trials[0]
    for cost in derive_marginal(cut):
        assert cost.marginal.value is None
        assert f"{kept} points" in (cost.marginal.reason or "")


def test_the_recorded_reason_comes_first() -> None:
    cut = replace(cpu_fused().trials[0], sweep=(), sweep_reason="switched off (measure.sweep)")
    assert {cost.marginal.reason for cost in derive_marginal(cut)} == {cut.sweep_reason}


def test_growth_that_is_not_linear_has_a_misfit() -> None:
    trial = cpu_fused().trials[0]
    square = tuple(replace(p, forward_s=1e-6 * p.timesteps**2) for p in trial.sweep)
    bent, straight = (derive_marginal(t)[0].misfit for t in (replace(trial, sweep=square), trial))
    assert bent is not None
    assert straight is not None
    assert bent > 0.2 > 0.05 > straight
