"""Where two costs meet: planted crossings, and curves that never cross."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.analysis.scale.crossover import find_crossover

LENGTHS = [64, 128, 256, 512, 1024]


def curve(
    cost: Callable[[float], float], noise: float = 0.0, rounds: int = 6, seed: int = 0
) -> dict[int, list[float]]:
    rng = np.random.default_rng(seed)
    return {n: [cost(n) * float(rng.lognormal(0.0, noise)) for _ in range(rounds)] for n in LENGTHS}


def recurrent(n: float) -> float:
    return 1e-3 + 1e-4 * n


@given(at=st.floats(80.0, 900.0))
@settings(max_examples=30, deadline=None)
def test_a_planted_crossing_of_line_and_parabola_is_found(at: float) -> None:
    factor = 1e-4 / at
    found = find_crossover(curve(recurrent), curve(lambda n: 1e-3 + factor * n * n))
    assert found.length.value == pytest.approx(at, rel=1e-3)
    assert found.length.low is not None
    assert found.length.high is not None
    assert found.length.low * 0.999 <= at <= found.length.high * 1.001
    assert not found.extrapolated
    assert found.cheaper_below == 1


def test_its_interval_covers_the_truth_under_noise() -> None:
    covered = 0
    for seed in range(40):
        found = find_crossover(
            curve(recurrent, 0.02, 7, seed),
            curve(lambda n: 1e-3 + 4e-7 * n * n, 0.02, 7, 1000 + seed),
        )
        assert found.length.low is not None
        assert found.length.high is not None
        covered += found.length.low <= 250.0 <= found.length.high
    assert covered >= 34  # 95 % nominal; fewer than 34 of 40 has a probability of 0.3 %


def test_beyond_the_longest_length_it_is_marked_extrapolated() -> None:
    found = find_crossover(curve(recurrent), curve(lambda n: 1e-3 + 5e-8 * n * n))
    assert found.extrapolated
    assert found.length.value == pytest.approx(2000.0, rel=0.15)


def test_beyond_four_times_the_longest_length_it_is_not_given() -> None:
    found = find_crossover(curve(recurrent), curve(lambda n: 1e-3 + 1e-8 * n * n))
    assert found.length.value is None
    assert "4,096" in (found.length.reason or "")


@given(factor=st.floats(1.05, 20.0), noise=st.floats(0.0, 0.01))
@settings(max_examples=20, deadline=None)
def test_parallel_curves_never_cross(factor: float, noise: float) -> None:
    found = find_crossover(
        curve(recurrent, noise, seed=1), curve(lambda n: factor * recurrent(n), noise, seed=2)
    )
    # Noise bends curves a little; none may be said to cross where they were measured.
    assert found.length.value is None or found.extrapolated


def test_a_model_does_not_cross_itself() -> None:
    found = sum(
        find_crossover(
            curve(recurrent, 0.03, 6, seed), curve(recurrent, 0.03, 6, 500 + seed)
        ).length.value
        is not None
        for seed in range(40)
    )
    assert found <= 5


def test_the_order_of_the_two_does_not_matter() -> None:
    one, other = curve(recurrent, 0.01), curve(lambda n: 1e-3 + 4e-7 * n * n, 0.01, seed=3)
    found, turned = find_crossover(one, other), find_crossover(other, one)
    assert found.length.value == pytest.approx(turned.length.value)
    assert (found.cheaper_below, turned.cheaper_below) == (1, 0)


def test_one_wild_round_does_not_move_it() -> None:
    one, other = curve(recurrent), curve(lambda n: 1e-3 + 4e-7 * n * n)
    one[256][0] *= 20
    assert find_crossover(one, other).length.value == pytest.approx(250.0, rel=0.01)


def test_one_common_length_gives_null_and_says_why() -> None:
    found = find_crossover({64: [1.0], 128: [2.0]}, {128: [1.0], 256: [2.0]})
    assert found.length.value is None
    assert "two are needed" in (found.length.reason or "")


def test_a_few_rounds_are_too_few() -> None:
    found = find_crossover(curve(recurrent, rounds=3), curve(lambda n: 300.0, rounds=3))
    assert found.length.value is None
    assert "3 rounds" in (found.length.reason or "")


def test_costs_that_are_exact_cross_when_known_once() -> None:
    one, other = {n: [float(n)] for n in LENGTHS}, {n: [300.0] for n in LENGTHS}
    assert find_crossover(one, other, exact=True).length.value == pytest.approx(300.0, rel=0.02)


def test_times_of_one_round_are_not_taken_as_exact() -> None:
    found = find_crossover({n: [float(n)] for n in LENGTHS}, {n: [300.0] for n in LENGTHS})
    assert found.length.value is None
    assert "1 round at" in (found.length.reason or "")


def test_of_several_crossings_the_first_is_given() -> None:
    bent, straight = {64: 1.0, 128: 0.8, 256: 3.0, 512: 3.0}, {n: n / 128 for n in LENGTHS}
    found = find_crossover(
        {n: [time] * 20 for n, time in bent.items()}, {n: [t] * 20 for n, t in straight.items()}
    )
    assert 64 < (found.length.value or 0.0) < 128
    assert found.cheaper_below == 1


def test_reasons_call_the_two_by_their_names() -> None:
    found = find_crossover(curve(recurrent), curve(lambda n: 9 * recurrent(n)), names=("a", "b"))
    assert (found.length.reason or "").startswith("a is cheaper at T = 1,024")


@given(seed=st.integers(0, 2**16), unit=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_cost_does_not_matter(seed: int, unit: float) -> None:
    one, other = curve(recurrent, 0.02, seed=seed), curve(lambda n: 1e-3 + 4e-7 * n * n, 0.02)
    found = find_crossover(one, other)
    scaled = ({n: [unit * t for t in times] for n, times in cost.items()} for cost in (one, other))
    again = find_crossover(*scaled)
    assert again.length.value == pytest.approx(found.length.value)
    assert again.length.low == pytest.approx(found.length.low)
