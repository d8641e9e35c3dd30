"""Spells of load in rounds of several lengths: found together, allowed for, and never made up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from seqprof.analysis.scale import resampled
from seqprof.analysis.scale.crossover import find_crossover
from seqprof.analysis.scale.growth import fit_growth
from seqprof.analysis.scale.resampled import resample_medians
from seqprof.analysis.spells_together import find_spells

LENGTHS = (32, 64, 128, 256, 512, 1024)
Noise = Callable[[np.random.Generator, int], list[float]]


def bursts(rng: np.random.Generator, n: int) -> list[float]:
    """A fifth of the rounds 1.5 times as slow, eight in a row on average; 2 % noise."""
    values, slow = [], rng.random() < 0.2
    for _ in range(n):
        slow = rng.random() > 1 / 8 if slow else rng.random() < 1 / 32
        values.append((1.5 if slow else 1.0) * math.exp(0.02 * rng.normal()))
    return values


def outliers(rng: np.random.Generator, n: int) -> list[float]:
    return [math.exp(min(0.03 * value, 3.0)) for value in rng.standard_t(1.5, n)]


def two_kinds(rng: np.random.Generator, n: int) -> list[float]:
    kinds = np.where(rng.random(n) < 0.7, 1.0, 1.3)
    return [kind * math.exp(0.01 * rng.normal()) for kind in kinds]


def correlated(rng: np.random.Generator, n: int) -> list[float]:
    noise = rng.normal(size=n + 50)
    for i in range(1, len(noise)):
        noise[i] = 0.6 * noise[i - 1] + 0.8 * noise[i]
    return [math.exp(0.05 * value) for value in noise[50:]]


def drifting(rng: np.random.Generator, n: int) -> list[float]:
    return [line * math.exp(0.02 * rng.normal()) for line in np.linspace(1, 1.1, n)]


def share_with_spells(noise: Noise, n: int, lengths: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    drawn = ([[math.log(v) for v in noise(rng, n)] for _ in range(lengths)] for _ in range(100))
    return sum(find_spells(rounds) is not None for rounds in drawn) / 100


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampled, "RESAMPLES", 499)


@pytest.mark.parametrize("noise", [outliers, two_kinds, correlated, drifting])
@pytest.mark.parametrize(("n", "lengths"), [(5, 12), (10, 5), (20, 6)])
def test_other_noise_is_no_spell(noise: Noise, n: int, lengths: int) -> None:
    assert share_with_spells(noise, n, lengths, seed=n) <= 0.05


def test_one_length_that_is_noisier_than_others_is_no_spell() -> None:
    rng, drawn = np.random.default_rng(3), []
    for _ in range(100):
        spread = [0.1, 0.01, 0.01, 0.01, 0.01]
        drawn.append(find_spells([(s * rng.standard_t(4, 10)).tolist() for s in spread]))
    assert sum(spells is not None for spells in drawn) <= 5


@pytest.mark.parametrize(("n", "lengths", "least"), [(5, 12, 0.25), (10, 12, 0.85), (20, 5, 0.85)])
def test_spells_show_in_all_lengths_together(n: int, lengths: int, least: float) -> None:
    assert share_with_spells(bursts, n, lengths, seed=n) >= least


def test_what_no_spell_made_slow_is_told_for_each_length() -> None:
    rng = np.random.default_rng(4)
    flags = [[0] * 8, [0] * 4 + [1] * 4, [1] * 8, [1] * 5 + [0] * 3]
    rounds = [[0.4 * f + 0.01 * rng.normal() for f in length] for length in flags]
    spells = find_spells(rounds)
    assert spells is not None
    assert [None if u is None else len(u) for u in spells.undisturbed] == [None, 4, None, 3]
    assert spells.slower == pytest.approx([0.4, 0.4], abs=0.03)


def test_without_noise_there_are_no_spells() -> None:
    assert find_spells([[1.0] * 6, [2.0] * 6]) is None


def test_a_length_of_one_level_may_be_slow_where_others_were() -> None:
    rng = np.random.default_rng(5)
    calm, late = [False] * 8, [False] * 4 + [True] * 4
    times = [
        [(1.5 if slow else 1.0) * math.exp(0.01 * rng.normal()) for slow in flags]
        for flags in (calm, late, late)
    ]
    drawn = resample_medians(times)
    assert drawn.slower == pytest.approx(1.5, rel=0.05)
    assert drawn.medians == pytest.approx([1.0, 1.0, 1.0], rel=0.02)
    assert drawn.drawn is not None
    low, high = np.quantile(drawn.drawn[:, 0], [0.025, 0.975])
    assert low < 0.7 < 0.98 < high
    assert np.quantile(drawn.drawn[:, 1], 0.975) < 1.05
    alone = resample_medians(times[:1])
    assert alone.slower is None
    assert alone.drawn is not None
    assert np.quantile(alone.drawn, 0.025) > 0.97


def test_curves_that_never_cross_do_not_under_load() -> None:
    rng, crossing = np.random.default_rng(6), 0
    for _ in range(100):
        costs = [
            {n: [k * (2e-3 + 1e-4 * n) * value for value in bursts(rng, 20)] for n in LENGTHS}
            for k in (1.0, 1.1)
        ]
        crossing += find_crossover(*costs).length.value is not None
    assert crossing <= 5  # 20 before spells were looked for; 3 % allowed


@pytest.mark.parametrize("apart", [1.0, 1.1])
def test_few_rounds_under_load_cross_hardly_ever(apart: float) -> None:
    rng, crossing = np.random.default_rng(16), 0
    for _ in range(200):
        costs = [
            {n: [k * (2e-3 + 1e-4 * n) * value for value in bursts(rng, 6)] for n in LENGTHS}
            for k in (1.0, apart)
        ]
        crossing += find_crossover(*costs).length.value is not None
    assert crossing <= 14  # 29 and 48 while a length alone decided


def test_a_crossing_is_found_in_few_rounds() -> None:
    rng, crossing = np.random.default_rng(17), 0
    for _ in range(50):
        one = {n: [(2e-3 + 1e-4 * n) * v for v in noisy(rng)] for n in LENGTHS}
        other = {n: [(2e-3 + 1e-4 * n * n / 300) * v for v in noisy(rng)] for n in LENGTHS}
        crossing += find_crossover(one, other).length.value is not None
    assert crossing >= 48


@pytest.mark.parametrize("rounds", [6, 20])
def test_a_length_that_stands_alone_decides_only_in_many_rounds(rounds: int) -> None:
    rng = np.random.default_rng(18)
    one, other = (
        {n: [k * n * math.exp(0.01 * e) for e in rng.normal(size=rounds)] for n in LENGTHS}
        for k in (1.0, 1.1)
    )
    one[1024] = [1.5 * time for time in one[1024]]
    length = find_crossover(one, other, names=("a", "b")).length
    if rounds == 6:
        suggested = "b is cheaper at T = 1,024, against what shorter lengths suggest"
        assert length.reason == f"{suggested}: measure it again"
    else:
        assert length.value is not None


def test_growth_covers_the_truth_under_load() -> None:
    rng, covered = np.random.default_rng(7), 0
    for _ in range(100):
        sizes = [n for n in LENGTHS[:3] for _ in range(20)]
        times = [1e-4 * n**1.2 * v for n in LENGTHS[:3] for v in bursts(rng, 20)]
        exponent = fit_growth(sizes, times).exponent
        assert exponent.low is not None
        assert exponent.high is not None
        covered += exponent.low <= 1.2 <= exponent.high
    assert covered >= 93  # 89 before


def test_a_crossing_that_is_larger_than_any_spell_is_still_found() -> None:
    rng, crossing = np.random.default_rng(8), 0
    for _ in range(40):
        one = {n: [(2e-3 + 1e-4 * n) * v for v in bursts(rng, 20)] for n in LENGTHS}
        other = {n: [(2e-3 + 1e-4 * n * n / 300) * v for v in bursts(rng, 20)] for n in LENGTHS}
        crossing += find_crossover(one, other).length.value is not None
    assert crossing >= 34


def test_the_reason_names_the_spells() -> None:
    rng, even, late = np.random.default_rng(9), [1.0] * 10, [1.0] * 5 + [1.5] * 5
    one, other = (
        {
            n: [k * n * v * math.exp(0.01 * rng.normal()) for v in rounds]
            for n, rounds in ((64, late), (128, even), (256, even))
        }
        for k in (1.0, 1.1)
    )
    reason = find_crossover(one, other).length.reason
    assert reason == "beyond T = 64 the two differ by less than spells of load make (1.5×)"


def test_a_spell_of_both_hides_nothing() -> None:
    rng, late = np.random.default_rng(9), [1.0] * 5 + [1.5] * 5
    one, other = (
        {n: [k * n * v * math.exp(0.01 * rng.normal()) for v in late] for n in LENGTHS}
        for k in (1.0, 1.1)
    )
    reason = find_crossover(one, other).length.reason
    assert (reason or "").startswith("the first is cheaper at T = 1,024; no crossover up to")


def test_whether_curves_cross_beyond_the_lengths_may_be_unknown() -> None:
    rng, reasons = np.random.default_rng(10), []
    for _ in range(20):
        one = {n: [(2e-3 + 1e-4 * n) * v for v in noisy(rng)] for n in LENGTHS}
        other = {n: [(2e-3 + 5e-8 * n * n) * v for v in noisy(rng)] for n in LENGTHS}
        reasons.append(find_crossover(one, other).length.reason or "")
    assert not any("no crossover up to" in reason for reason in reasons)  # they do, at 2,000
    assert any("whether they cross up to T = 4,096 cannot be told" in r for r in reasons)


def noisy(rng: np.random.Generator) -> list[float]:
    return [math.exp(0.05 * value) for value in rng.normal(size=6)]
