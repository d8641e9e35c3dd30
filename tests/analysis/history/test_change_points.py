"""Levels of a series: planted ones are found at their place, and noise has none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.analysis.history.change_points import ALPHA, FEWEST, find_change_points


def noise(seed: int, n: int, level: float = 1.0, spread: float = 0.02) -> list[float]:
    chance = random.Random(seed)
    return [level * chance.gauss(1.0, spread) for _ in range(n)]


@pytest.mark.parametrize("at", [5, 12, 17])
def test_a_step_of_fifteen_per_cent_is_found_where_it_is(at: int) -> None:
    values = [*noise(1, at), *noise(2, 20 - at, level=1.15)]
    (change,) = find_change_points(values)
    assert change.index == at
    assert change.ratio == pytest.approx(1.15, rel=0.05)
    assert change.p <= ALPHA


def test_two_steps_are_both_found() -> None:
    values = [*noise(1, 12), *noise(2, 10, level=1.3), *noise(3, 10, level=0.9)]
    found = find_change_points(values)
    assert [change.index for change in found] == [12, 22]
    assert [round(change.ratio, 1) for change in found] == [1.3, 0.7]


def test_noise_has_no_change_points() -> None:
    found = [find_change_points(noise(seed, 25, spread=0.1)) for seed in range(40)]
    assert sum(map(bool, found)) <= 3  # 1 % of 40 tests, and some


def test_one_slow_run_is_no_new_level() -> None:
    values = noise(1, 20)
    values[9] *= 2.0
    assert find_change_points(values) == ()


def test_a_change_too_small_to_matter_is_not_told() -> None:
    assert find_change_points([*noise(1, 20, spread=1e-4), *noise(2, 20, 1.01, 1e-4)]) == ()


@given(st.lists(st.floats(1e-6, 1e6), max_size=2 * FEWEST - 1))
def test_a_short_series_has_none(values: list[float]) -> None:
    assert find_change_points(values) == ()


@given(st.floats(1e-6, 1e6), st.integers(6, 20))
@settings(deadline=None, max_examples=20)
def test_a_constant_series_has_none(value: float, n: int) -> None:
    assert find_change_points([value] * n) == ()
