"""Properties of the order statistics."""

from __future__ import annotations

import math
import statistics as standard

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import binom  # type: ignore[import-untyped]

from seqprof.analysis.dependence import inefficiency
from seqprof.analysis.statistics import (
    coefficient_of_variation,
    drift,
    estimate_median,
    median,
    median_absolute_deviation,
    median_interval,
    paired_change,
    quantile,
    supported_digits,
)

finite = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
times = st.floats(min_value=1e-9, max_value=1e3)
samples = st.lists(finite, min_size=1, max_size=60)


@given(samples, st.floats(min_value=0.0, max_value=1.0))
def test_quantile_agrees_with_numpy(values: list[float], q: float) -> None:
    expected = float(np.quantile(values, q))
    assert quantile(values, q) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(samples, st.floats(min_value=0.0, max_value=1.0))
def test_quantile_lies_within_the_values(values: list[float], q: float) -> None:
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= quantile(values, q) <= max(values) + slack


@given(samples, st.randoms())
def test_order_of_values_does_not_matter(values: list[float], chance: object) -> None:
    shuffled = list(values)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median(shuffled) == median(values)
    assert median_absolute_deviation(shuffled) == median_absolute_deviation(values)


@given(st.lists(finite, min_size=6, max_size=200))
@example([0.0, -766380.40625, -766380.40625, 0.0, -766380.40625, -766380.40625])
def test_interval_contains_the_median(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval is not None
    assert interval[0] <= median(values) <= interval[1]


def independent(n: int) -> list[float]:
    """1 … n in an order in which no value resembles its neighbours."""
    orders = (np.random.default_rng(seed).permutation(n) + 1.0 for seed in range(100))
    return next(order.tolist() for order in orders if inefficiency(order.tolist()) == 1.0)


@pytest.mark.parametrize("n", [20, 21, 50, 101, 1000])
def test_interval_of_independent_values_is_the_narrowest_that_covers_95_percent(n: int) -> None:
    interval = median_interval(independent(n))
    assert interval is not None
    rank = int(interval[0])
    assert interval[1] == n + 1 - rank
    assert 1 - 2 * binom.cdf(rank - 1, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(rank, n, 0.5) < 0.95


@pytest.mark.parametrize("n", range(6))
def test_too_few_values_have_no_interval(n: int) -> None:
    assert median_interval([1.0] * n) is None


def test_no_value_gives_null_with_the_reason() -> None:
    estimate = estimate_median([], unit="s", method="m", absent="nothing there")
    assert (estimate.value, estimate.low, estimate.n) == (None, None, 0)
    assert estimate.reason == "nothing there"


@given(st.lists(times, min_size=1, max_size=40), st.floats(min_value=0.5, max_value=2.0))
def test_paired_change_finds_a_constant_factor(bare: list[float], factor: float) -> None:
    change = paired_change([factor * b for b in bare], bare, method="m", absent="")
    assert change.value == pytest.approx(factor - 1.0, abs=1e-9)


def test_paired_change_ignores_drift_that_both_share() -> None:
    bare = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    change = paired_change([1.01 * b for b in bare], bare, method="m", absent="")
    assert change.low == pytest.approx(0.01)
    assert change.high == pytest.approx(0.01)


@given(st.lists(times, min_size=2, max_size=40))
def test_variation_agrees_with_the_standard_library(values: list[float]) -> None:
    expected = standard.stdev(values) / standard.fmean(values)
    assert coefficient_of_variation(values) == pytest.approx(expected, abs=1e-12)


def test_drift_compares_the_thirds() -> None:
    assert drift([1.0] * 3 + [5.0] * 3 + [1.2] * 3) == pytest.approx(0.2)
    assert drift([1.0] * 8) is None


@given(
    st.floats(min_value=1e-6, max_value=1e6),
    st.floats(min_value=1e-6, max_value=1.0),
)
def test_the_last_digit_is_not_finer_than_the_interval(value: float, share: float) -> None:
    low, high = value * (1 - share), value * (1 + share)
    assume(high > low)
    digits = supported_digits(value, low, high)
    last = math.floor(math.log10(value)) - digits + 1
    leading = math.floor(math.log10((high - low) / 2))
    assert 1 <= digits <= 4
    assert last >= leading or digits == 1
    assert last <= leading or digits == 4


@pytest.mark.parametrize(
    ("value", "low", "high", "digits"),
    [
        (100.0, 95.0, 105.0, 3),
        (100.0, 50.0, 150.0, 2),
        (1.0, 0.999, 1.001, 4),
        (1.0, None, None, 2),
        (1.0, 1.0, 1.0, 4),
        (0.0, -1.0, 1.0, 4),
    ],
)
def test_digits(value: float, low: float | None, high: float | None, digits: int) -> None:
    assert supported_digits(value, low, high) == digits
