"""Times in words: a unit that fits, and no more digits than the interval supports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from seqprof.analysis.statistics import MOST_DIGITS, Estimate, supported_digits

if TYPE_CHECKING:  # a trace needs no recording
    from seqprof.recording import Workload

#: Digits of a single time whose spread is not known.
PLAIN_DIGITS = 3

#: Digits that write any number to all that matters of it.
_EXACT = 7

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def sizes_in_words(timesteps: int | None, batch_size: int | None) -> str:
    """Write T and the batch size of a workload: "T = 64, batch 16"."""
    return f"{length_in_words(timesteps)}, {batch_in_words(batch_size)}"


def length_in_words(timesteps: int | None) -> str:
    """Write one T."""
    return "T unknown" if timesteps is None else f"T = {timesteps:,}"


def batch_in_words(batch_size: int | None) -> str:
    """Write a batch size."""
    return "batch size unknown" if batch_size is None else f"batch {batch_size:,}"


def decimals(value: float, digits: int) -> int:
    """Return how many decimals show ``digits`` significant digits of ``value``."""
    if value == 0.0:
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def fixed(value: float, places: int) -> str:
    """Write ``value`` with so many decimals; what rounds to zero has no sign."""
    text = f"{value:,.{places}f}"
    return text if any(digit in text for digit in "123456789") else text.lstrip("-")


def rounded(value: float, digits: int) -> str:
    """Write ``value`` with ``digits`` significant digits, never with an exponent."""
    shown = float(f"{value:.{digits}g}")
    return fixed(shown, decimals(shown, digits))


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
    """Return the significant digits that an estimate's interval supports.

    More where so few would put the value outside the interval: 230 (212–1,608) is not 200.
    """
    value, low, high = estimate.value or 0.0, estimate.low, estimate.high
    digits = supported_digits(value, low, high)
    if low is None or high is None or not low <= value <= high:
        return digits
    return next((d for d in range(digits, _EXACT) if _stays_within(value, d, low, high)), _EXACT)


def _stays_within(value: float, digits: int, low: float, high: float) -> bool:
    """Whether the rounded value lies in the interval, in seconds and in each smaller unit.

    A tie in one is none in another: 0.995 s is 0.99 s to two digits, but 995 ms is 1,000 ms.
    """
    least = 1e-9 * max(abs(low), abs(high))
    shown = [float(f"{value * scale:.{digits}g}") / scale for scale in (1.0, 1e3, 1e6, 1e9)]
    return low - least <= min(shown) and max(shown) <= high + least


def span(low: float, high: float) -> str:
    """Write an interval: its ends to the first digit of its half width, but to two digits each."""
    half = (high - low) / 2.0
    dash = " to " if low < 0.0 else "–"  # no dash beside a minus

    def end(value: float) -> str:
        places = decimals(value, MOST_DIGITS if half == 0.0 else 2)
        return fixed(value, max(places, decimals(half, 1)))

    return f"{end(low)}{dash}{end(high)}"


def seconds_span(estimate: Estimate) -> str:
    """Write the interval of a time, in the unit and with the decimals of its value.

    The estimate must have one. Where the value is zero, the unit is that of the interval.
    """
    digits = digits_of(estimate)
    low, high = estimate.low or 0.0, estimate.high or 0.0
    size = estimate.value or max(abs(low), abs(high)) or 1.0
    scale, unit = time_unit(size, digits)
    places = decimals(size / scale, digits if estimate.value else 2)
    dash = "–" if low >= 0.0 else " to "
    return f"{fixed(low / scale, places)}{dash}{fixed(high / scale, places)} {unit}"


def count_in_words(count: int | None) -> str:
    """``1,234``, or a dash where it is not known."""
    return "–" if count is None else f"{count:,}"


def parameters_in_words(workload: Workload) -> str:
    """``1,234 parameters``."""
    return f"{count_in_words(workload.parameters)} parameters"


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``, ``22nd``."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
