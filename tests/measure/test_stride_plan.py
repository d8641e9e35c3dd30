"""A stride moves by what the pairs say of its cost, both ways."""

from __future__ import annotations

import pytest

from seqprof.measure.trial.pairs import StridePlan


def judged(stride: int, *ratios: float, fixed: bool = False) -> StridePlan:
    plan = StridePlan(stride=stride, largest=128, budget=0.01, fixed=fixed)
    for ratio in ratios:
        plan.judge(1.0, ratio)
    return plan


@pytest.mark.parametrize(
    ("stride", "ratio", "then"),
    [
        (30, 1.0299, 90),  # three times its budget
        (1, 1.0199, 4),  # a span needs two marks
        (100, 1.03, 128),
        (30, 1.008, 30),  # within
        (30, 1.001, 15),  # a tenth of it
        (4, 1.0, 1),  # 2 would cost what 1 does
    ],
)
def test_eight_pairs_decide(stride: int, ratio: float, then: int) -> None:
    assert judged(stride, *[ratio] * 7).stride == stride
    assert judged(stride, *[ratio] * 8).stride == then


def test_noise_and_a_given_stride_move_nothing() -> None:
    assert judged(30, *[1.05, 0.95] * 8).stride == 30
    assert judged(30, *[1.05] * 8, fixed=True).stride == 30


def test_a_stride_that_may_cost_half_its_budget_is_not_halved() -> None:
    assert judged(30, *[0.99] * 5, *[1.006] * 3).stride == 30
    assert judged(30, *[0.99] * 7, 1.006).stride == 15


def test_what_was_widened_stays() -> None:
    assert judged(30, *[1.0299] * 8, *[1.0] * 16).stride == 90
