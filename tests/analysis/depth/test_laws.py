"""Exact laws behind counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.depth.laws import fit_law

LENGTHS = (4, 5, 6, 8, 12, 16, 17, 24, 32)


def up(t: int) -> int:
    return (t - 1).bit_length()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (lambda t: 54, "54"),
        (lambda t: 18 * t + 5, "18·T + 5"),
        (lambda t: t - 3, "T - 3"),
        (lambda t: 6 * up(t) + 9, "6·⌈log2 T⌉ + 9"),
        (lambda t: 6 * (t.bit_length() - 1) + 9, "6·⌊log2 T⌋ + 9"),
        (lambda t: 2 * t + 3 * up(t), "2·T + 3·⌈log2 T⌉"),
        (lambda t: t * up(t) + 2 * t + 1, "T·⌈log2 T⌉ + 2·T + 1"),
        (lambda t: t * (t + 1) // 2 + 7, "1/2·T² + 1/2·T + 7"),
    ],
)
def test_a_law_is_found_and_said(count: Callable[[int], int], text: str) -> None:
    law = fit_law({t: count(t) for t in LENGTHS})
    assert (law.text, law.reason, law.holds_from) == (text, None, 4)
    assert law.at(1000) == count(1000)


@given(st.integers(1, 200), st.integers(-50, 500))
def test_every_line_is_found_exactly(slope: int, fixed: int) -> None:
    law = fit_law({t: slope * t + fixed for t in LENGTHS})
    assert law.at(4096) == slope * 4096 + fixed
    assert set(law.coefficients) <= {"T", "1"}


def test_short_lengths_may_differ() -> None:
    law = fit_law({t: 3 * t + 1 if t > 5 else 9 for t in LENGTHS})
    assert (law.text, law.holds_from) == ("3·T + 1", 6)
    assert law.at(5) is None


def test_a_law_for_powers_of_two_says_so_and_promises_no_more() -> None:
    law = fit_law({t: 12 * up(t) + (0 if t & (t - 1) == 0 else t % 5 + 1) for t in LENGTHS})
    assert law.text == "12·log2 T"
    assert law.powers_of_two_only
    assert law.at(64) == 72
    assert law.at(63) is None


def test_a_law_for_powers_of_two_holds_from_the_first_of_them() -> None:
    """However many powers of two follow the last other length."""
    lengths = (*LENGTHS, 64, 128, 256)
    law = fit_law({t: 12 * up(t) + (0 if t & (t - 1) == 0 else t % 5 + 1) for t in lengths})
    assert (law.text, law.holds_from, law.powers_of_two_only) == ("12·log2 T", 4, True)


def test_a_law_of_whole_chunks_claims_no_other_lengths() -> None:
    lengths = (*LENGTHS, 40, 48, 56)
    law = fit_law({t: 3 * -(-t // 8) + (0 if t % 8 == 0 else t % 5 + 2) for t in lengths}, chunk=8)
    assert (law.text, law.holds_from, law.multiples_of) == ("3/8·T", 8, 8)
    assert law.holds == "exact from T = 8 at multiples of 8"
    assert (law.at(800), law.at(801)) == (300, None)


def test_a_law_for_all_lengths_wins_over_one_of_chunks() -> None:
    law = fit_law({t: 18 * t + 5 for t in (*LENGTHS, 40, 48, 56)}, chunk=8)
    assert (law.text, law.multiples_of) == ("18·T + 5", None)


@pytest.mark.parametrize("off_by", [1, -1])
def test_one_count_off_is_no_law(off_by: int) -> None:
    counts = {t: 18 * t + 5 for t in LENGTHS}
    counts[32] += off_by
    law = fit_law(counts)
    assert law.text is None
    assert law.at(64) is None
    assert law.reason is not None
    assert "no exact law; nearest" in law.reason


def test_too_few_lengths_are_no_law() -> None:
    assert fit_law({4: 8, 8: 16}).reason == "2 lengths are too few to tell a law"
    assert fit_law({4: 8, 8: 16, 16: 32}).text is None
    assert fit_law({}).text is None


def test_a_falling_law_is_not_believed() -> None:
    law = fit_law({16: 10, 17: 9, 24: 9, 32: 9})
    assert "-" not in (law.text or "")
