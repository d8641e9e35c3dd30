"""Numbers for people: units that fit, and no more digits than the interval supports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import (
    PLAIN_DIGITS,
    decimals,
    digits_of,
    fixed,
    rounded,
    seconds_in_words,
    seconds_span,
)

if TYPE_CHECKING:
    from seqprof.analysis.quantities import Dimension

#: What stands where there is no number.
NOTHING = "—"

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


def seconds(value: float | None, digits: int = PLAIN_DIGITS) -> str:
    """Write a time."""
    return NOTHING if value is None else seconds_in_words(value, digits)


def time(estimate: Estimate) -> str:
    """Write an estimated time with the digits that its interval supports."""
    return seconds(estimate.value, digits_of(estimate))


def time_interval(estimate: Estimate) -> str:
    """Write the interval of a time, in the unit and with the decimals of its value."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return NOTHING
    return seconds_span(estimate)


def percent(estimate: Estimate) -> str:
    """Write a ratio as a percentage; one decimal where the interval supports it."""
    if estimate.value is None:
        return NOTHING
    if estimate.low is None or estimate.high is None:
        return share(estimate.value)
    return f"{fixed(100.0 * estimate.value, _percent_places(estimate.low, estimate.high))}%"


def share(value: float) -> str:
    """Write a share without an interval: whole per cent, below one the first digit there is."""
    cents = 100.0 * value
    if 0.0 < cents < _LEAST_SHOWN:
        return f"< {_LEAST_SHOWN:g}%"
    return f"{fixed(cents, 0) if abs(cents) >= 0.95 else rounded(cents, 1)}%"


#: Per cent; what is less is next to nothing.
_LEAST_SHOWN = 0.01


def busy(estimate: Estimate) -> str:
    """Write a busy share. Nothing is busy for longer than all the time: more is noise of clocks."""
    if estimate.value is not None and 100.0 * estimate.value > 100.0 + _CLOCK_NOISE:
        return "over 100%"  # threads besides those that were reckoned with
    if estimate.value is not None and estimate.value > 1.0:
        return "about 100%"
    return percent(estimate)


#: Per cent by which two clocks may differ over a short phase.
_CLOCK_NOISE = 10.0


def complement(estimate: Estimate) -> Estimate:
    """Return what is left of a whole: idle of busy."""
    if estimate.value is None:
        return estimate
    low, high = estimate.low, estimate.high
    return Estimate(
        value=max(0.0, 1.0 - estimate.value),
        low=None if high is None else max(0.0, 1.0 - high),
        high=None if low is None else max(0.0, 1.0 - low),
        unit=estimate.unit,
        method=f"1 - {estimate.method}",
        n=estimate.n,
    )


def signed_percent(estimate: Estimate) -> str:
    """Write a relative change."""
    text = percent(estimate)
    return text if text.startswith(("-", "<")) else f"+{text}"


def signed_time(estimate: Estimate) -> str:
    """Write a difference of times."""
    return f"{'' if (estimate.value or 0.0) < 0.0 else '+'}{seconds(estimate.value, 2)}"


def percent_interval(estimate: Estimate) -> str:
    """Write the interval of a ratio in per cent."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    places = _percent_places(estimate.low, estimate.high)
    return f"{fixed(100.0 * estimate.low, places)}% to {fixed(100.0 * estimate.high, places)}%"


def _percent_places(low: float, high: float) -> int:
    return 0 if 50.0 * (high - low) >= 1.0 else 1


def slope(estimate: Estimate) -> str:
    """Write what one more costs; where it is not told from nothing, what it is at most."""
    if estimate.high is not None and estimate.low is not None and estimate.low <= 0.0:
        return f"< {seconds(estimate.high, 2)}" if estimate.high > 0.0 else time(estimate)
    return time(estimate)


#: A part of a whole below this share of it cannot be told from nothing: clocks and rounding.
_NOTHING_TO_SPEAK_OF = 0.005


def part_of(part: Estimate, whole: Estimate) -> str:
    """Write a time that is what is left of another; below what noise allows as `< 5 µs`."""
    if part.value is None or not whole.value:
        return time(part)
    least = _NOTHING_TO_SPEAK_OF * whole.value
    return f"< {seconds(least, 1)}" if part.value < least else seconds(part.value, 2)


def size(estimate: Estimate) -> str:
    """Write a number of bytes."""
    if estimate.value is None:
        return NOTHING
    value = estimate.value
    scale, unit = next(((s, u) for s, u in _SIZES if value >= s), _SIZES[-1])
    return f"{rounded(value / scale, PLAIN_DIGITS)} {unit}" if value else "0 B"


def count(estimate: Estimate) -> str:
    """Write a whole number."""
    return NOTHING if estimate.value is None else f"{estimate.value:,.0f}"


def rate(estimate: Estimate) -> str:
    """Write a number per second."""
    return NOTHING if estimate.value is None else rounded(estimate.value, digits_of(estimate))


def prefixed(value: float | None, digits: int = PLAIN_DIGITS) -> str:
    """Write an amount with an SI prefix, as FLOPs: 1.23 G."""
    if value is None:
        return NOTHING
    shown = float(f"{value:.{digits}g}")
    scale, prefix = next(((s, p) for s, p in _PREFIXES if shown >= s), _PREFIXES[-1])
    return f"{rounded(value / scale, digits)} {prefix}".rstrip()


def ratio(estimate: Estimate) -> str:
    """Write a ratio or an exponent as a plain number with the digits of its interval."""
    return NOTHING if estimate.value is None else rounded(estimate.value, digits_of(estimate))


def ratio_interval(estimate: Estimate) -> str:
    """Write the interval of a ratio with the decimals of its value.

    Two at least: an end beyond 1.02, which makes a verdict, must not read 1.0.
    """
    if estimate.low is None or estimate.high is None:
        return NOTHING
    places = _ratio_places(estimate)
    return f"{fixed(estimate.low, places)}–{fixed(estimate.high, places)}"


def _ratio_places(estimate: Estimate) -> int:
    return max(2, decimals(estimate.value or 1.0, digits_of(estimate)))


def ratio_with_interval(estimate: Estimate) -> str:
    """Write a ratio and its interval: `0.83 (0.81–0.85)`."""
    if estimate.low is None or estimate.high is None:
        return ratio(estimate)
    shown = fixed(estimate.value or 0.0, _ratio_places(estimate))
    return f"{shown} ({ratio_interval(estimate)})"


def power(estimate: Estimate) -> str:
    """Write an exponent, to two decimals at the most."""
    if estimate.value is None:
        return NOTHING
    return fixed(estimate.value, _power_places(estimate))


def power_interval(estimate: Estimate) -> str:
    """Write the interval of an exponent with the decimals of its value."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    places = _power_places(estimate)
    dash = "–" if estimate.low >= 0.0 else " to "
    return f"{fixed(estimate.low, places)}{dash}{fixed(estimate.high, places)}"


def _power_places(estimate: Estimate) -> int:
    return min(2, decimals(estimate.value or 1.0, digits_of(estimate)))


def law(text: str | None, coefficients: Iterable[str]) -> str:
    """Write a law over T; in a table the number itself stands beside it."""
    if text is None:
        return "not exact"
    return text if any(term != "1" for term in coefficients) else "constant"


def watts(estimate: Estimate) -> str:
    """Write a power."""
    return NOTHING if estimate.value is None else f"{rounded(estimate.value, PLAIN_DIGITS)} W"


def joules(estimate: Estimate) -> str:
    """Write an energy, in mJ below one joule."""
    if estimate.value is None:
        return NOTHING
    if abs(estimate.value) < 1.0:
        return f"{rounded(estimate.value * 1e3, PLAIN_DIGITS)} mJ"
    return f"{rounded(estimate.value, PLAIN_DIGITS)} J"


#: Name of a dimension to how its values are written.
_WRITTEN: dict[str, Callable[[Estimate], str]] = {
    "time": time,
    "share": percent,
    "change": percent,
    "ratio": ratio,
    "count": count,
    "exponent": ratio,
    "bytes": size,
    "timestep rate": rate,
    "flop rate": lambda estimate: prefixed(estimate.value, digits_of(estimate)),
    "power": watts,
    "energy": joules,
}


def text(dimension: Dimension, estimate: Estimate) -> str:
    """Write a value of a quantity as its dimension wants it."""
    return _WRITTEN[dimension.name](estimate)


_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = ".:-=+*#@"


def sparkline(
    values: Sequence[float | None], *, ascii_only: bool = False, top: float | None = None
) -> str:
    """Draw values on a scale from zero to their largest; a space where there is none.

    From zero, so that noise of a few per cent does not look like mountains.

    Args:
        top: the end of the scale, where it is not the largest value.
    """
    if top is None:
        top = max((value for value in values if value is not None), default=0.0)
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    scale = (len(blocks) - 1) / top if top > sys.float_info.min else 0.0
    return "".join(" " if v is None else blocks[max(0, round(v * scale))] for v in values)


def reasons(estimates: Sequence[tuple[str, Estimate]]) -> list[str]:
    """Return one line per reason for which values are null, naming what it concerns."""
    grouped: dict[str, dict[str, None]] = {}
    for name, estimate in estimates:
        if estimate.value is None and estimate.reason:
            grouped.setdefault(estimate.reason, {})[name] = None
    return [f"{', '.join(names)}: {reason}" for reason, names in grouped.items()]
