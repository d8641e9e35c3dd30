"""Times in words: a unit that fits, and no more digits than the interval supports."""

from __future__ import annotations

import math

from seqprof.analysis.statistics import MOST_DIGITS, Estimate, supported_digits

#: Digits of a single time whose spread is not known.
PLAIN_DIGITS = 3

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def decimals(value: float, digits: int) -> int:
    """Return how many decimals show ``digits`` significant digits of ``value``."""
    if value == 0.0:
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def rounded(value: float, digits: int) -> str:
    """Write ``value`` with ``digits`` significant digits, never with an exponent."""
    shown = float(f"{value:.{digits}g}")
    return f"{shown:,.{decimals(shown, digits)}f}"


def time_unit(seconds: float, digits: int) -> tuple[float, str]:
    """Return the largest unit of time in which ``seconds``, so rounded, is at least 1."""
    shown = abs(float(f"{seconds:.{digits}g}"))
    return next(((scale, unit) for scale, unit in _TIMES if shown >= scale), _TIMES[-1])


def seconds_in_words(value: float, digits: int = PLAIN_DIGITS) -> str:
    """Write a time."""
    if value == 0.0:
        return "0 s"
    scale, unit = time_unit(value, digits)
    return f"{rounded(value / scale, digits)} {unit}"


def digits_of(estimate: Estimate) -> int:
    """Return the significant digits that an estimate's interval supports."""
    return supported_digits(estimate.value or 0.0, estimate.low, estimate.high)


def span(low: float, high: float) -> str:
    """Write an interval: its ends to the first digit of its half width, but to two digits each."""
    half = (high - low) / 2.0
    dash = " to " if low < 0.0 else "–"  # no dash beside a minus

    def end(value: float) -> str:
        places = decimals(value, MOST_DIGITS if half == 0.0 else 2)
        return f"{value:,.{max(places, decimals(half, 1))}f}"

    return f"{end(low)}{dash}{end(high)}"


def seconds_span(estimate: Estimate) -> str:
    """Write the interval of a time in the unit of its value; the estimate must have one."""
    scale, unit = time_unit(estimate.value or estimate.high or 1.0, digits_of(estimate))
    return f"{span((estimate.low or 0.0) / scale, (estimate.high or 0.0) / scale)} {unit}"
