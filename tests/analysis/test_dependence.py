"""How much neighbours resemble each other, against series whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seqprof.analysis.dependence import assumed, inefficiency, ranks, student, widening
from seqprof.analysis.statistics import estimate_median, median_interval


def autoregressive(rng: np.random.Generator, n: int, rho: float) -> list[float]:
    """Positive values around 1 whose logarithms have correlation ``rho`` from one to the next."""
    noise: NDArray[np.float64] = rng.normal(size=n + 100)
    value, found = 0.0, []
    for part in noise:
        value = rho * value + float(part) * (1 - rho * rho) ** 0.5
        found.append(float(np.exp(0.05 * value)))
    return found[100:]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_inefficiency_of_long_series_is_that_of_their_process(rho: float) -> None:
    rng = np.random.default_rng(1)
    found = np.median([inefficiency(autoregressive(rng, 2000, rho)) for _ in range(9)])
    lags = 6 / np.pi * np.arcsin(rho ** np.arange(1, 60) / 2)
    assert found == pytest.approx(1 + 2 * lags.sum(), rel=0.15)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("n", [6, 10, 20, 55])
def test_interval_covers_the_median_of_dependent_values(rho: float, n: int) -> None:
    rng = np.random.default_rng(2)
    intervals = (median_interval(autoregressive(rng, n, rho)) for _ in range(400))
    covered = sum(found is not None and found[0] <= 1.0 <= found[1] for found in intervals)
    # Below 364 of 400 is 4 standard errors below 95 %: 20 values taken as independent cover 316
    # at 0.6.
    assert covered >= 364


def test_ranks_of_equal_values_share_their_mean() -> None:
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [1.0, -1.5, 1.0, -0.5]


def test_constant_values_are_certain() -> None:
    assert inefficiency([1.0] * 30) == 1.0
    assert median_interval([1.0] * 30) == (1.0, 1.0)


def test_drift_leaves_few_independent_values() -> None:
    found = estimate_median([1.0 + i / 50 for i in range(50)], unit="s", method="m", absent="")
    assert found.independent is not None
    assert found.independent < 6


def test_few_values_are_taken_to_be_dependent() -> None:
    assert assumed(6) == 2.0
    assert 1.0 < assumed(15) < 1.5
    assert assumed(20) == assumed(200) == 1.0


@pytest.mark.parametrize(("freedom", "quantile"), [(2, 4.303), (5, 2.571), (30, 2.042)])
def test_students_factor(freedom: float, quantile: float) -> None:
    assert 1.959964 * student(freedom) == pytest.approx(quantile, rel=0.035)


def test_an_interval_is_widened_by_what_is_left_of_the_values() -> None:
    assert widening(6, 1.0) == 1.0
    # 6 values that tell as much as 3: two degrees of freedom for five.
    assert widening(6, 2.0) == pytest.approx(2**0.5 * 4.303 / 2.571, rel=0.05)
    assert widening(400, 4.0) == pytest.approx(2.0, rel=0.01)
