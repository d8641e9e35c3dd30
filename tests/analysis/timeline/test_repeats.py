"""Periods that were planted are found exactly; what has none stays silent."""

from __future__ import annotations

import random

import numpy as np
import pytest

from seqprof.analysis.timeline.timesteps.loops import loops_of
from seqprof.analysis.timeline.timesteps.repeats import find_periods


def found(symbols: list[int]) -> list[tuple[int, int]]:
    return [(p.symbols, p.repeats) for p in find_periods(np.array(symbols, dtype=np.int64))]


@pytest.mark.parametrize("period", [1, 2, 3, 7, 16, 61, 300])
@pytest.mark.parametrize("repeats", [5, 6, 12, 128])
def test_a_plain_loop_between_prologue_and_epilogue(period: int, repeats: int) -> None:
    pattern = list(range(period))
    symbols = [900, 901, 902] + pattern * repeats + [901, 903]
    assert found(symbols) == [(period, repeats)]


@pytest.mark.parametrize("seed", range(40))
def test_a_loop_with_noise(seed: int) -> None:
    """One repeat in seven has a symbol more, less or other; the pattern has symbols twice."""
    draw = random.Random(seed)
    period, repeats = draw.randrange(6, 40), draw.randrange(6, 80)
    pattern = [draw.randrange(20) for _ in range(period)]
    symbols = [100 + draw.randrange(9) for _ in range(draw.randrange(period))]
    for index in range(repeats):
        noisy = list(pattern)
        if 0 < index < repeats - 1 and draw.random() < 1 / 7:
            at = draw.randrange(period)
            kind = draw.randrange(3)
            noisy[at : at + (kind > 0)] = [200 + draw.randrange(5)] if kind < 2 else []
        symbols += noisy
    symbols += [100 + draw.randrange(9) for _ in range(draw.randrange(period))]
    assert found(symbols) == [(period, repeats)]


def test_a_first_and_a_last_repeat_that_differ_a_little_count() -> None:
    pattern = list(range(15))
    symbols = [50, *pattern[2:], *pattern * 10, *pattern[:12], 60, 61, *pattern[12:], 70]
    assert found(symbols) == [(15, 12)]


def _passes(lengths: list[int], between: list[int], state_at: int) -> list[int]:
    """Passes of timesteps of 31, the first of which makes a state (99); a loss, then new data."""
    pattern = [draw * 7 % 13 for draw in range(31)]
    symbols: list[int] = []
    for timesteps in lengths:
        first = [*pattern[:state_at], 99, *pattern[state_at:]]
        symbols += [*between, *first, *pattern * (timesteps - 1), 50, 51]
    return symbols


@pytest.mark.parametrize("lengths", [[15, 15, 17], [6, 23], [12, 12, 12, 12]])
@pytest.mark.parametrize("between", [[60, 61, 62], [60, 60, 61, 3, 62, 5, 20, 21, 22, 23]])
@pytest.mark.parametrize("state_at", [0, 4, 14, 30])
def test_passes_with_less_between_them_than_a_timestep_has(
    lengths: list[int], between: list[int], state_at: int
) -> None:
    """What lies before the first pass lies inside: it is no noise of one long loop."""
    symbols = np.array(_passes(lengths, between, state_at), dtype=np.int64)
    level = find_periods(symbols)[0]
    assert [loop.repeats for loop in loops_of(symbols, level)] == lengths


@pytest.mark.parametrize(("inner", "times", "outer"), [(7, 12, 6), (4, 30, 5), (20, 5, 9)])
def test_two_nested_periods(inner: int, times: int, outer: int) -> None:
    once = [90, 91, 92, *list(range(inner)) * times, 93, 94]
    symbols = [80, 81, *once * outer, 82]
    assert found(symbols) == [(inner, times), (inner * times + 5, outer)]


@pytest.mark.parametrize("alphabet", [2, 3, 10, 40])
@pytest.mark.parametrize("seed", range(5))
def test_random_symbols_have_no_period(alphabet: int, seed: int) -> None:
    draw = random.Random(seed)
    assert found([draw.randrange(alphabet) for _ in range(1500)]) == []


def test_three_repeats_or_a_third_of_the_sequence_are_none() -> None:
    assert found(list(range(9)) * 3) == []
    assert found([*range(100, 200), *list(range(5)) * 10, *range(200, 300)]) == []


def test_short_and_empty_sequences() -> None:
    for length in range(4):
        assert found([1] * length) == []
