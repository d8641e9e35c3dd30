"""Spells of load: found where values lie together in time at two levels, and nowhere else."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from seqprof.analysis.compare.comparison import compare
from seqprof.analysis.spells import CHANCE, chance_of_runs, undisturbed_level
from seqprof.analysis.statistics import median_interval


def in_spells(flags: list[bool], slow: float = 1.5, seed: int = 1) -> list[float]:
    """Times of 1 with 2 % noise, ``slow`` where a flag is set."""
    rng = np.random.default_rng(seed)
    return [float((slow if f else 1.0) * math.exp(0.02 * rng.normal())) for f in flags]


LATE = [False] * 4 + [True] * 16


def test_the_level_that_no_spell_made_slow_is_found() -> None:
    level = undisturbed_level([math.log(value) for value in in_spells(LATE)])
    assert level is not None
    assert level[0] < 0.0 < level[1]
    assert level[1] - level[0] < 0.1


@pytest.mark.parametrize("end", [0, -1])
def test_a_spell_over_all_rounds_but_the_first_or_the_last_is_no_verdict(end: int) -> None:
    flags = [True] * 20
    assert compare(in_spells(flags), in_spells([False] * 20, seed=2)).verdict == "slower"
    flags[end] = False
    assert compare(in_spells(flags), in_spells([False] * 20, seed=2)).verdict == "inconclusive"


def test_one_end_that_took_longer_is_no_undisturbed_round() -> None:
    slower, base = in_spells([False] * 20, seed=1), in_spells([False] * 20, seed=2)
    slower = [1.5 * value for value in slower]
    base[0] *= 1.5
    assert compare(slower, base).verdict == "slower"


def test_rounds_in_which_both_were_slowed_do_not_hide_those_in_which_neither_was() -> None:
    a = [False] * 2 + [True] * 18
    b = [False] * 17 + [True] * 3
    assert compare(in_spells(a), in_spells(b, seed=2)).verdict == "inconclusive"


@pytest.mark.parametrize("n", [12, 20, 40])
def test_independent_values_have_no_spells(n: int) -> None:
    rng = np.random.default_rng(n)
    found = [undisturbed_level(rng.normal(0.0, 0.05, n).tolist()) for _ in range(300)]
    assert sum(level is not None for level in found) <= 3


def test_two_kinds_of_values_in_any_order_are_no_spell() -> None:
    rng = np.random.default_rng(2)
    logs = np.log(in_spells([True, False] * 20)).tolist()
    assert undisturbed_level(logs) is None
    orders = [rng.permutation(logs).tolist() for _ in range(300)]
    share = sum(undisturbed_level(order) is not None for order in orders) / 300
    assert share <= 2 * CHANCE  # either of two levels may lie together by chance
    assert undisturbed_level(sorted(logs)) is not None


def test_the_chance_of_runs_is_that_of_counting() -> None:
    n, first = 9, 3
    counts: list[int] = []
    for chosen in combinations(range(n), first):
        kinds = [index in chosen for index in range(n)]
        counts.append(1 + sum(a != b for a, b in pairwise(kinds)))
    for runs in range(2, 8):
        share = sum(count <= runs for count in counts) / len(counts)
        assert chance_of_runs(runs, first, n - first) == pytest.approx(share)


def test_a_median_in_a_spell_reaches_down_to_what_is_undisturbed() -> None:
    interval = median_interval(in_spells(LATE))
    assert interval is not None
    assert interval[0] < 1.0 < 1.45 < interval[1]


def test_a_spell_of_one_candidate_is_no_verdict_and_a_slower_one_is() -> None:
    quiet, spell = in_spells([False] * 20, seed=2), in_spells(LATE)
    assert compare(spell, quiet).verdict == "inconclusive"
    assert compare(quiet, spell).verdict == "inconclusive"
    slower = [1.3 * value for value in quiet]
    assert compare(slower, in_spells([False] * 20, seed=3)).verdict == "slower"


def test_what_slows_both_at_once_is_no_spell_of_one() -> None:
    both = in_spells(LATE, seed=5)
    slower = [1.2 * value for value in in_spells(LATE, seed=6)]
    assert compare(slower, both).verdict == "slower"


def test_a_side_of_one_level_may_lie_in_a_spell_where_the_other_shows_some() -> None:
    slow, quiet, some = [True] * 20, [False] * 20, [False] * 8 + [True] * 4 + [False] * 8
    assert compare(in_spells(slow), in_spells(some, seed=2)).verdict == "inconclusive"
    assert compare(in_spells(some), in_spells(slow, seed=2)).verdict == "inconclusive"
    assert compare(in_spells(slow), in_spells(quiet, seed=2)).verdict == "slower"
    beyond = [1.3 * value for value in in_spells(slow)]  # more than a spell makes
    assert compare(beyond, in_spells(some, seed=2)).verdict == "slower"
