"""Two runs are told apart where they differ, and not where only the machine does."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from example_recordings import environment, quiet_host
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.analysis.diff.settings_changed import contention
from seqprof.analysis.diff.unpaired import (
    Change,
    Runs,
    Verdict,
    block_length,
    compare_runs,
    judge,
    of_estimates,
    process_spread,
    spread_between,
)
from seqprof.analysis.statistics import Estimate

TIME: tuple[Verdict, Verdict] = ("slower", "faster")


def steps(seed: int, n: int = 60, level: float = 1.0, noise: float = 0.01) -> list[float]:
    """Independent steps."""
    chance = random.Random(seed)
    return [level * chance.gauss(1.0, noise) for _ in range(n)]


def wandering(seed: int, n: int = 60, noise: float = 0.02, memory: float = 0.9) -> list[float]:
    """Steps whose neighbours are alike: an autoregressive series."""
    chance = random.Random(seed)
    found, state = [], chance.gauss(0.0, noise)
    for _ in range(n):
        state = memory * state + chance.gauss(0.0, noise * (1 - memory**2) ** 0.5)
        found.append(1.0 + state)
    return found


def one(series: list[float], contention: float = 0.0) -> Runs:
    return Runs([series], [contention])


def verdict(change: Change) -> Verdict | None:
    return judge(change.ratio, [change.fast], TIME)


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


@pytest.mark.parametrize(("level", "expected"), [(1.15, "slower"), (0.85, "faster")])
def test_fifteen_per_cent_is_told(level: float, expected: str) -> None:
    change = compare_runs(one(steps(1)), one(steps(2, level=level)))
    assert verdict(change) == expected
    assert change.ratio.value == pytest.approx(level, rel=0.02)
    low, high = bounds(change.ratio)
    assert low < level < high


def test_the_same_is_called_equivalent() -> None:
    assert verdict(compare_runs(one(steps(1)), one(steps(2)))) == "equivalent"


def test_two_per_cent_could_be_the_process_and_is_not_told() -> None:
    change = compare_runs(one([1.0] * 60), one([1.02] * 60))
    low, high = bounds(change.ratio)
    assert low < 1.0 < high


def test_neighbours_that_are_alike_do_not_make_it_sure() -> None:
    """Of runs that wander, none is called slower by more than 5 %, and few are told at all."""
    changes = [compare_runs(one(wandering(s)), one(wandering(100 + s))) for s in range(40)]
    assert not [c for c in changes if (c.ratio.low or 0.0) > 1.05]
    assert len([c for c in changes if verdict(c) in TIME]) <= 4


def test_blocks_make_the_interval_of_a_wandering_run_wider_than_shuffling_it_does() -> None:
    wider = 0
    for seed in range(10):
        series = wandering(seed, memory=0.95, noise=0.05)
        mixed = random.Random(seed).sample(series, len(series))
        still = one([1.0] * 60)
        (low, high), (flat, top) = (
            bounds(compare_runs(still, one(values)).ratio) for values in (series, mixed)
        )
        wider += high - low > top - flat
    assert wider >= 9


def test_slow_spells_that_spare_the_fast_steps_are_not_the_program() -> None:
    """Another program doubles six steps in ten: the median doubles, the fast quartile does not."""
    held_up = [2.0 * s if i % 10 < 6 else s for i, s in enumerate(steps(2))]
    change = compare_runs(one(steps(1)), one(held_up))
    assert (change.ratio.value or 0.0) > 1.5
    assert (change.ratio.low or 0.0) < 1.2
    assert verdict(change) == "inconclusive"
    everything = compare_runs(one(steps(1)), one([2.0 * s for s in steps(2)]))
    assert verdict(everything) == "slower"


def test_more_runs_make_the_interval_narrower_and_more_steps_of_one_run_do_not() -> None:
    def width(base: Runs, new: Runs) -> float:
        low, high = bounds(compare_runs(base, new).ratio)
        return high - low

    single = width(one(steps(1)), one(steps(2)))
    long = width(one(steps(1, n=600)), one(steps(2, n=600)))
    three = [Runs([steps(s + i) for i in range(3)], [0.0] * 3) for s in (1, 4)]
    assert long > 0.9 * single
    assert width(*three) < 0.75 * single


def test_a_contended_processor_makes_the_interval_wider() -> None:
    quiet = bounds(compare_runs(one(steps(1)), one(steps(2))).ratio)
    loud = bounds(compare_runs(one(steps(1)), one(steps(2), contention=0.5)).ratio)
    assert loud[0] < quiet[0] < 1.0 < quiet[1] < loud[1]


@pytest.mark.parametrize("few", [1, 5])
def test_few_steps_have_no_interval_and_no_verdict(few: int) -> None:
    change = compare_runs(one(steps(1)), one(steps(2, n=few, level=2.0)))
    assert change.ratio.low is None
    assert change.ratio.value == pytest.approx(2.0, rel=0.05)
    assert verdict(change) is None


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, -1.0], [float("inf")]])
def test_what_has_no_ratio_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"step|positive"):
        compare_runs(one(bad), one([1.0] * 6))


SERIES = st.lists(st.floats(1e-4, 1e2), min_size=6, max_size=30)


@given(SERIES, SERIES, st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=20)
def test_the_ratio_lies_in_its_interval_and_does_not_depend_on_the_unit(
    base: list[float], new: list[float], unit: float
) -> None:
    ratio = compare_runs(one(base), one(new)).ratio
    low, high = bounds(ratio)
    assert ratio.value is not None
    assert low <= ratio.value <= high
    scaled = compare_runs(one([unit * x for x in base]), one([unit * x for x in new])).ratio
    assert scaled.value == pytest.approx(ratio.value)


@given(st.integers(1, 100_000))
def test_there_are_six_blocks_where_there_are_six_steps(n: int) -> None:
    length = block_length(n)
    assert 1 <= length <= n
    assert n < 6 or n // length >= 6


def test_intervals_of_two_estimates_combine() -> None:
    base = Estimate(value=10.0, low=9.0, high=11.0, unit="s", method="m", n=5)
    new = Estimate(value=20.0, low=19.0, high=21.0, unit="s", method="m", n=5)
    ratio = of_estimates(base, new)
    low, high = bounds(ratio)
    assert ratio.value == 2.0
    assert 19 / 11 < low < 20 / 11 < 2.0 < 20 / 9 < high < 21 / 8.9
    wider = bounds(of_estimates(base, new, 0.1))
    assert wider[0] < low < high < wider[1]
    without = of_estimates(base, Estimate(value=20.0, unit="s", method="m"))
    assert without.low is None
    absent = of_estimates(base, Estimate(value=None, unit="s", method="m", reason="lost"))
    assert absent.reason == "null in new: lost"


def test_an_interval_that_reaches_zero_gives_none() -> None:
    """Its logarithm would be infinite, and a ratio below zero would be nonsense."""
    wild = Estimate(value=1.0, low=-0.5, high=2.5, unit="s", method="m", n=5)
    ratio = of_estimates(wild, Estimate(value=2.0, low=1.9, high=2.1, unit="s", method="m", n=5))
    assert (ratio.value, ratio.low, ratio.high) == (2.0, None, None)


def test_what_is_short_varies_more_from_process_to_process() -> None:
    def width(lasts_s: float | None) -> float:
        sides = [Runs([steps(seed)], [0.0], lasts_s) for seed in (1, 2)]
        low, high = bounds(compare_runs(*sides).ratio)
        return high - low

    assert width(None) < width(1.0) < width(0.01) < width(0.0001)
    assert width(None) == pytest.approx(width(100.0), rel=0.01)


def test_runs_that_differ_more_than_is_usual_widen_the_interval() -> None:
    """Three runs of each side, whose levels are apart as on a machine that is not to be trusted."""
    alike = [Runs([steps(s + i) for i in range(3)], [0.0] * 3) for s in (1, 4)]
    apart = [
        Runs([steps(s + i, level=level) for i, level in enumerate((0.9, 1.0, 1.1))], [0.0] * 3)
        for s in (1, 4)
    ]
    assert spread_between(alike, 0.5) < 0.01
    assert spread_between(apart, 0.5) == pytest.approx(0.1, rel=0.15)
    (low, high), (lower, higher) = (bounds(compare_runs(*sides).ratio) for sides in (alike, apart))
    assert lower < 0.9 < low < high < 1.11 < higher


def test_single_runs_say_nothing_of_how_runs_differ() -> None:
    assert spread_between([one(steps(1)), one(steps(2, level=3.0))], 0.5) == 0.0


def test_threads_that_waited_make_runs_of_one_program_differ_more() -> None:
    def contended(run_delay_s: float | None) -> float:
        host = replace(quiet_host(), window_s=10.0, run_delay_s=run_delay_s)
        return contention(host, environment(threads=2, cores=4))

    assert contended(None) == contended(0.0) == contended(1.9) == 0.0
    assert 0.0 < contended(6.0) < contended(16.0)
    assert process_spread(contended(16.8)) == pytest.approx(0.64, rel=0.15)
    assert math.isfinite(contended(1e6))
