"""The chance that a slow level is one more spell: by the spells that were seen, in two levels."""

from __future__ import annotations

import math
import random

import pytest

from seqprof.analysis.history.other_spells import chance_of_one_more


def logs(drawn: str) -> list[float]:
    """Return a series of two levels: # is slow."""
    chance = random.Random(len(drawn))
    return [math.log(1.5 if one == "#" else 1.0) + chance.gauss(0.0, 0.01) for one in drawn]


def test_without_other_spells_there_is_no_chance() -> None:
    assert chance_of_one_more(logs("." * 20 + "#" * 20), 20) == 0.0


@pytest.mark.parametrize(("others", "k", "s"), [("####", 1, 4), ("###........#####", 2, 8)])
def test_the_chance_is_that_of_exponential_lengths(others: str, k: int, s: int) -> None:
    series = "." * 10 + others + "." * 10 + "#" * 20
    chance = chance_of_one_more(logs(series), len(series) - 20)
    assert chance == pytest.approx((1 + 20 / s) ** -(k + 1))


def test_a_slow_level_that_ended_is_judged_likewise() -> None:
    series = "#" * 20 + "." * 10 + "####" + "." * 10
    assert chance_of_one_more(logs(series), 20) == pytest.approx((1 + 20 / 4) ** -2)


def test_one_slow_run_is_no_spell_and_one_quick_run_ends_none() -> None:
    assert chance_of_one_more(logs("....#......." + "####.#######"), 12) == 0.0


def test_two_kinds_in_any_order_are_no_spells() -> None:
    chance = random.Random(1)
    series = "".join(chance.choice("..#") for _ in range(30)) + "#" * 20
    assert chance_of_one_more(logs(series), 30) == 0.0


def test_levels_that_noise_joins_are_none() -> None:
    chance = random.Random(1)
    values = [chance.gauss(0.0, 0.05) + (0.1 if i >= 20 else 0.0) for i in range(40)]
    assert chance_of_one_more(values, 20) == 0.0
