"""The likelihoods are those of the normal distribution, and p-values are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from seqprof.analysis.history import level_shift
from seqprof.analysis.history.level_shift import (
    CORRELATIONS,
    FEWEST,
    chance_of_order,
    likeliest_step,
)


def log_likelihood(
    values: NDArray[np.float64], design: NDArray[np.float64], rho: float, *, restricted: bool
) -> float:
    """Return it by generalised least squares with the whole covariance matrix."""
    n, free = design.shape[0], design.shape[0] - restricted * design.shape[1]
    covariance = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / (1 - rho**2)
    inverse = np.linalg.inv(covariance)
    information = design.T @ inverse @ design
    rest = values - design @ np.linalg.solve(information, design.T @ inverse @ values)
    logarithm = -free / 2 * math.log(rest @ inverse @ rest)
    logarithm -= np.linalg.slogdet(covariance)[1] / 2
    return float(logarithm - restricted * np.linalg.slogdet(information)[1] / 2)


@pytest.mark.parametrize("rho", CORRELATIONS)
def test_likelihoods_are_those_of_generalised_least_squares(rho: float) -> None:
    n = 11
    values = np.random.default_rng(3).normal(size=n)
    one, ramp = np.ones((n, 1)), np.arange(n)[:, None]
    level, line, restricted, steps = level_shift._fit(values[None] - values.mean(), rho)
    assert level[0] == pytest.approx(log_likelihood(values, one, rho, restricted=False))
    assert restricted[0] == pytest.approx(log_likelihood(values, one, rho, restricted=True))
    both = np.hstack([one, ramp])
    assert line[0] == pytest.approx(log_likelihood(values, both, rho, restricted=False))
    for at, of_step in enumerate(steps[0], FEWEST):
        both = np.hstack([one, ramp >= at])
        assert of_step == pytest.approx(log_likelihood(values, both, rho, restricted=False))


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("n", [12, 30])
def test_p_values_are_small_as_often_as_they_say(n: int, rho: float) -> None:
    series = np.random.default_rng(4).normal(size=(1000, n))
    series[:, 0] /= math.sqrt(1 - rho * rho)
    for t in range(1, n):
        series[:, t] += rho * series[:, t - 1]
    small = sum(likeliest_step(one).p <= 0.05 for one in series)
    assert 25 <= small <= 75


def test_any_order_of_any_values_is_as_likely_as_it_says() -> None:
    series = np.random.default_rng(7).standard_cauchy(size=(1000, 20))
    small = sum(chance_of_order(one.tolist()) <= 0.05 for one in series)
    assert 25 <= small <= 75
    assert chance_of_order([*range(10), *range(20, 30)]) < 0.001


def test_a_step_is_where_it_is_and_likelier_than_a_line() -> None:
    values = np.random.default_rng(5).normal(size=30)
    values[18:] += 4.0
    step = likeliest_step(values)
    assert step.index == 18
    assert step.p < 0.001
    assert step.over_line > math.log(8)


def test_a_line_is_likelier_than_a_step_where_there_is_one() -> None:
    values = np.random.default_rng(6).normal(size=30) + 0.3 * np.arange(30)
    assert likeliest_step(values).over_line < 0.0


@pytest.mark.parametrize("values", [[1.0] * 10, [1.0, 2.0, 3.0, 4.0, 5.0]])
def test_what_has_no_two_levels_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="six values that differ"):
        likeliest_step(np.asarray(values))
