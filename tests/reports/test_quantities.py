"""Numbers for people."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqprof.analysis.statistics import Estimate
from seqprof.reports import quantities as q


def estimate(value: float | None, half: float | None = None, unit: str = "s") -> Estimate:
    low, high = (None, None) if value is None or half is None else (value - half, value + half)
    return Estimate(value=value, low=low, high=high, unit=unit, method="m")


@pytest.mark.parametrize(
    ("value", "half", "text", "interval"),
    [
        (0.1376, 0.0006, "137.6 ms", "137.0–138.2 ms"),
        (0.1376, 0.004, "138 ms", "134–142 ms"),
        (0.1376, 0.04, "140 ms", "98–178 ms"),
        (0.000198, 2e-6, "198 µs", "196–200 µs"),
        (0.9999, 0.01, "1.0 s", "0.99–1.01 s"),
        (999e-6, 60e-6, "1.0 ms", "0.94–1.06 ms"),
        (12.0, None, "12 s", "—"),
        (3e-8, None, "30 ns", "—"),
        (0.0, None, "0 s", "—"),
        (None, None, "—", "—"),
    ],
)
def test_times(value: float | None, half: float | None, text: str, interval: str) -> None:
    assert q.time(estimate(value, half)) == text
    assert q.time_interval(estimate(value, half)) == interval


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1.234e9, 3, "1.23 G"),
        (999_600, 3, "1.00 M"),
        (42.0, 2, "42"),
        (0.0, 3, "0"),
        (3.2e15, 2, "3.2 P"),
        (None, 3, "—"),
    ],
)
def test_amounts_take_the_prefix_that_fits(value: float | None, digits: int, text: str) -> None:
    assert q.prefixed(value, digits) == text


def test_an_interval_beyond_the_margin_is_not_rounded_to_one() -> None:
    ratio = Estimate(value=1.2, low=1.031, high=1.29, unit="1", method="m")
    assert q.ratio_interval(ratio) == "1.03–1.29"


@given(st.floats(min_value=1e-9, max_value=1e4), st.integers(min_value=1, max_value=4))
def test_what_is_written_is_the_value_to_that_many_digits(value: float, digits: int) -> None:
    number, unit = q.seconds(value, digits).split(" ")
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    error = abs(float(number.replace(",", "")) * scale - value)
    assert error <= 0.51 * 10.0 ** (math.floor(math.log10(value)) - digits + 1)


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [(0.3978, 0.0004, "39.8%"), (0.3978, 0.02, "40%"), (1.11, None, "111%"), (None, None, "—")],
)
def test_percentages(value: float | None, half: float | None, text: str) -> None:
    assert q.percent(estimate(value, half, "1")) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "512 B"), (402_653_184, "384 MiB"), (3 * 2**30, "3.00 GiB"), (0, "0 B"), (None, "—")],
)
def test_sizes(value: float | None, text: str) -> None:
    assert q.size(estimate(value, unit="B")) == text


def test_an_interval_from_below_zero_has_no_dash_beside_its_sign() -> None:
    assert q.time_interval(estimate(0.010, 0.002)) == "8–12 ms"
    assert q.time_interval(estimate(0.010, 0.020)) == "-10 to 30 ms"


def test_a_sparkline_starts_at_zero_so_that_noise_looks_flat() -> None:
    assert q.sparkline([1.00, 1.01, 0.99]) == "███"
    assert q.sparkline([1.0, 2.0, None, 0.0]) == "▅█ ▁"
    assert q.sparkline([]) == ""
    assert q.sparkline([None]) == " "
    assert q.sparkline([0.0, 0.0]) == "▁▁"


def test_reasons_are_told_once_each() -> None:
    def absent(reason: str) -> Estimate:
        return Estimate(value=None, unit="s", method="m", reason=reason)

    given_ = [("a", absent("x")), ("b", absent("x")), ("a", absent("x")), ("c", absent("y"))]
    assert q.reasons([*given_, ("d", estimate(1.0))]) == ["a, b: x", "c: y"]


@pytest.mark.parametrize(
    ("value", "text", "signed"),
    [
        (0.0, "0%", "+0%"),
        (-0.0, "0%", "+0%"),
        (1e-6, "< 0.01%", "< 0.01%"),
        (0.0019, "0.2%", "+0.2%"),
        (-0.0019, "-0.2%", "-0.2%"),
        (0.0096, "1%", "+1%"),
        (0.996, "100%", "+100%"),
    ],
)
def test_a_share_without_an_interval_is_not_shown_as_nothing(
    value: float, text: str, signed: str
) -> None:
    without = estimate(value, unit="1")
    assert q.share(value) == q.percent(without) == text
    assert q.signed_percent(without) == signed
