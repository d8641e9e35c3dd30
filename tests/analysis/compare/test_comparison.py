"""Verdicts on data whose truth is known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqprof.analysis.compare import comparison
from seqprof.analysis.compare.comparison import compare

ROUNDS = 16


def noisy(seed: int, factor: float = 1.0, rounds: int = ROUNDS) -> list[float]:
    """Rounds on a machine with small noise and, now and then, a step held up by half."""
    rng = np.random.default_rng(seed)
    held_up = 1.0 + 0.5 * (rng.random(rounds) < 0.08)
    return [float(value) for value in 0.1 * factor * rng.lognormal(0.0, 0.02, rounds) * held_up]


def test_the_same_against_itself_is_hardly_ever_told_apart() -> None:
    verdicts = Counter(compare(noisy(2 * i), noisy(2 * i + 1)).verdict for i in range(100))
    assert verdicts["faster"] + verdicts["slower"] <= 5


def test_ten_per_cent_more_work_is_found() -> None:
    found = [compare(noisy(2 * i, 1.1), noisy(2 * i + 1)) for i in range(20)]
    assert sum(one.verdict == "slower" for one in found) >= 18
    back = [compare(noisy(2 * i), noisy(2 * i + 1, 1.1)) for i in range(20)]
    assert sum(one.verdict == "faster" for one in back) >= 18


def correlated(rng: np.random.Generator, rounds: int) -> NDArray[np.float64]:
    """Rounds with 5 % noise of a candidate's own, correlated by 0.6 from round to round."""
    noise = rng.normal(size=rounds + 50)
    for i in range(1, len(noise)):
        noise[i] = 0.6 * noise[i - 1] + 0.8 * noise[i]
    return np.asarray(np.exp(0.05 * noise[50:]))


@pytest.mark.parametrize("rounds", [6, 10, 14, 20])
def test_few_rounds_that_resemble_their_neighbours_are_hardly_ever_told_apart(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "RESAMPLES", 499)
    rng = np.random.default_rng(11)
    pairs = [
        (correlated(rng, rounds).tolist(), correlated(rng, rounds).tolist()) for _ in range(600)
    ]
    false = sum(compare(*pair).verdict in ("faster", "slower") for pair in pairs)
    assert false <= 33  # 3 % are 18; without Student's factor for few rounds it was 48 to 64


@pytest.mark.parametrize(
    ("rounds", "slower", "least"), [(6, 1.4, 0.8), (10, 1.15, 0.5), (14, 1.1, 0.5)]
)
def test_few_independent_rounds_tell_what_is_slow_enough(
    rounds: int, slower: float, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "RESAMPLES", 499)
    rng = np.random.default_rng(12)
    drawn = 1.0 + 0.05 * rng.normal(size=(200, 2, rounds))
    verdicts = [compare((slower * a).tolist(), b.tolist()).verdict for a, b in drawn]
    assert verdicts.count("slower") >= least * 200


def test_slow_spells_that_hit_whole_rounds_cancel() -> None:
    rng = np.random.default_rng(3)
    spell = rng.choice([1.0, 1.8], ROUNDS)
    a = list(spell * rng.lognormal(0.0, 0.003, ROUNDS))
    b = list(spell * rng.lognormal(0.0, 0.003, ROUNDS))
    assert compare([1.1 * value for value in a], b).verdict == "slower"
    assert compare(a, b).verdict == "equivalent"


@given(seed=st.integers(0, 2**16), factor=st.floats(0.2, 5.0), scale=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_unit_does_not_matter_and_the_value_lies_in_its_interval(
    seed: int, factor: float, scale: float
) -> None:
    a, b = noisy(seed, factor), noisy(seed + 1)
    one = compare(a, b)
    other = compare([scale * value for value in a], [scale * value for value in b])
    assert one.ratio.value is not None
    assert one.ratio.low is not None
    assert one.ratio.high is not None
    assert other.ratio.value == pytest.approx(one.ratio.value)
    assert other.ratio.low == pytest.approx(one.ratio.low)
    assert one.ratio.low <= one.ratio.value <= one.ratio.high


@given(seed=st.integers(0, 2**16), factor=st.floats(0.5, 2.0))
@settings(max_examples=20, deadline=None)
def test_swapped_candidates_have_opposite_verdicts(seed: int, factor: float) -> None:
    a, b = noisy(seed, factor), noisy(seed + 1)
    opposite = {"faster": "slower", "slower": "faster"}
    one, other = compare(a, b), compare(b, a)
    # The margin of equivalence is 1 ± 0.02, and 1 / 1.02 is not 0.98.
    if "equivalent" not in (one.verdict, other.verdict):
        assert other.verdict == opposite.get(one.verdict, one.verdict)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.0, "equivalent"), (1.1, "slower"), (0.9, "faster")]
)
def test_constant_data_are_certain(ratio: float, verdict: str) -> None:
    found = compare([ratio] * 8, [1.0] * 8)
    assert found.verdict == verdict
    assert found.ratio.low == found.ratio.high == ratio


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_few_rounds_conclude_nothing(rounds: int) -> None:
    found = compare([2.0] * rounds, [1.0] * rounds)
    assert found.verdict == "inconclusive"
    assert found.ratio.value == 2.0
    assert found.ratio.low is None


def test_one_round_twenty_times_too_long_is_no_matter() -> None:
    a, b = [1.0 + 0.001 * i for i in range(ROUNDS)], [1.001 + 0.001 * i for i in range(ROUNDS)]
    a[5] *= 20
    assert compare(a, b).verdict == "equivalent"


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_cannot_be_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        compare([1.0, bad], [1.0, 1.0])


def test_different_numbers_of_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="same rounds"):
        compare([1.0, 2.0], [1.0])
