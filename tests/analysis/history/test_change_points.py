"""Levels of a series: planted ones are found at their place, and noise has none."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.analysis.history.change_points import (
    ALPHA,
    FASTER,
    SLOWER,
    find_change_points,
)
from seqprof.analysis.history.level_shift import FEWEST


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


def test_two_steps_up_both_last_though_there_are_few_runs_between() -> None:
    values = [*noise(4, 20), *noise(5, 10, level=1.3), *noise(6, 25, level=1.6)]
    changes = find_change_points(values)
    assert [(change.index, change.verdict) for change in changes] == [(20, "lasts"), (30, "lasts")]
    assert [round(change.ratio, 1) for change in changes] == [1.3, 1.2]


def test_a_level_that_came_back_is_told_as_one_and_what_changed_beside_it() -> None:
    values = [*noise(1, 25), *noise(2, 10, level=1.3), *noise(3, 14, level=0.9)]
    spell, change = find_change_points(values)
    assert (spell.verdict, spell.index, spell.until) == ("came back", 25, 35)
    assert (change.verdict, change.index, change.until) == ("lasts", 35, None)
    assert [round(one.ratio, 1) for one in (spell, change)] == [1.3, 0.9]


@pytest.mark.parametrize("level", [0.8, 1.3])
def test_the_same_level_before_and_after_is_no_lasting_change(level: float) -> None:
    values = [*noise(1, 15), *noise(2, 8, level), *noise(3, 15)]
    (spell,) = find_change_points(values)
    assert (spell.verdict, spell.index, spell.until) == ("came back", 15, 23)


@pytest.mark.parametrize(
    ("before", "after", "level", "verdict", "more"),
    [
        (40, 5, 1.2, "perhaps passing", SLOWER - 5),
        (40, SLOWER, 1.2, "lasts", None),
        (FASTER, SLOWER, 1.2, "lasts", None),
        (FASTER - 1, SLOWER + 5, 1.2, "perhaps passing", None),  # what is before gets no more runs
        (SLOWER, 5, 0.8, "perhaps passing", FASTER - 5),
        (SLOWER, FASTER, 0.8, "lasts", None),
        (SLOWER - 1, 40, 0.8, "perhaps passing", None),  # a spell that ended?
    ],
)
def test_a_change_lasts_where_the_slower_level_is_longer_than_a_spell(
    before: int, after: int, level: float, verdict: str, more: int | None
) -> None:
    (change,) = find_change_points([*noise(1, before), *noise(2, after, level=level)])
    assert (change.index, change.verdict, change.more_runs) == (before, verdict, more)


def spells_and_a_step(seed: int, *lengths: int) -> list[float]:
    """Slow levels of so many runs, 8 quiet ones before each of them, the last one to the end."""
    parts = (
        [*noise(seed + k, 20 if k == 0 else 8), *noise(seed + 50 + k, n, level=1.5)]
        for k, n in enumerate(lengths)
    )
    return [value for part in parts for value in part]


def lasting(values: list[float]) -> bool:
    return any(change.verdict == "lasts" for change in find_change_points(values))


def test_one_more_spell_like_those_before_it_is_no_change_that_lasts() -> None:
    verdicts = [lasting(spells_and_a_step(seed, 8, 12, SLOWER)) for seed in range(0, 1000, 100)]
    assert sum(verdicts) <= 1
    alone = [lasting(spells_and_a_step(seed, SLOWER)) for seed in range(0, 1000, 100)]
    assert sum(alone) >= 9


def test_what_lasts_much_longer_than_a_spell_before_it_lasts() -> None:
    verdicts = [lasting(spells_and_a_step(seed, 3, 40)) for seed in range(0, 1000, 100)]
    assert sum(verdicts) >= 9


def test_a_new_level_lasts_longer_than_those_that_came_back() -> None:
    before = [*noise(1, 30), *noise(2, 25, level=1.2), *noise(3, 30)]
    verdicts = [
        find_change_points([*before, *noise(4, runs, level=1.2)])[-1].verdict for runs in (24, 26)
    ]
    assert verdicts == ["perhaps passing", "lasts"]


def correlated(chance: random.Random, n: int, rho: float, spread: float) -> list[float]:
    """Values around 1 whose neighbours are correlated by ``rho``."""
    state, values = chance.gauss(0.0, 1.0), []
    for _ in range(n):
        state = rho * state + math.sqrt(1 - rho * rho) * chance.gauss(0.0, 1.0)
        values.append(math.exp(spread * state))
    return values


def in_bursts(chance: random.Random, n: int) -> list[float]:
    """Values around 1, and 1.5 in stretches of eight on average, a fifth of the time."""
    slow, values = chance.random() < 0.2, []
    for _ in range(n):
        slow = chance.random() > 1 / 8 if slow else chance.random() < 1 / 32
        values.append((1.5 if slow else 1.0) * math.exp(chance.gauss(0.0, 0.02)))
    return values


def verdicts_of(series: list[list[float]]) -> Counter[str]:
    """Count the series of which something is told, by verdict."""
    return Counter(v for one in series for v in {c.verdict for c in find_change_points(one)})


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_correlated_noise_has_hardly_any(rho: float) -> None:
    chance = random.Random(7)
    verdicts = verdicts_of([correlated(chance, 60, rho, 0.05) for _ in range(200)])
    assert verdicts["lasts"] <= 6
    assert verdicts.total() <= 10


def test_a_drift_is_hardly_ever_a_lasting_change() -> None:
    chance = random.Random(8)
    drifts = [[1 + 0.1 * i / 59 + chance.gauss(0.0, 0.02) for i in range(60)] for _ in range(200)]
    verdicts = verdicts_of(drifts)
    assert verdicts["lasts"] <= 4  # 3 % allowed are 6
    assert verdicts["perhaps a drift"] > 0


@pytest.mark.parametrize(("n", "most"), [(20, 0), (30, 2), (60, 15)])
def test_bursts_are_told_as_what_passes(n: int, most: int) -> None:
    chance = random.Random(9)
    verdicts = verdicts_of([in_bursts(chance, n) for _ in range(400)])
    assert (
        verdicts["lasts"] <= most
    )  # of 400: 37, 28 and 17 while each level needed 20 runs at most
    assert verdicts["came back"] + verdicts["perhaps passing"] >= 80


@pytest.mark.parametrize(("n", "verdict"), [(30, "perhaps passing"), (60, "lasts")])
def test_a_step_of_two_standard_deviations_is_found_in_independent_noise(
    n: int, verdict: str
) -> None:
    halves = [
        (noise(2 * i, n // 2, 1.0, 0.05), noise(2 * i + 1, n // 2, 1.1, 0.05)) for i in range(100)
    ]
    assert verdicts_of([[*one, *other] for one, other in halves])[verdict] >= 55


def test_two_kinds_of_runs_in_any_order_are_no_change() -> None:
    chance = random.Random(10)
    mixed = [
        [chance.choice((1.0, 1.3)) * chance.gauss(1.0, 0.01) for _ in range(60)] for _ in range(200)
    ]
    assert verdicts_of(mixed)["lasts"] <= 6


def test_one_run_in_ten_held_up_hides_no_step() -> None:
    values = [*noise(1, 15), *noise(2, 25, level=1.1)]
    for place in (4, 13, 22):
        values[place] *= 3.0
    (change,) = find_change_points(values)
    assert (change.index, change.verdict) == (15, "lasts")


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
