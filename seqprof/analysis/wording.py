"""Times in words: a unit that fits, and no more digits than the interval supports."""

from __future__ import annotations

import math

from seqprof.analysis.statistics import Estimate, supported_digits

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
