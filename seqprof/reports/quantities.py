"""Numbers for people: units that fit, and no more digits than the interval supports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import (
    PLAIN_DIGITS,
    decimals,
    digits_of,
    rounded,
    seconds_in_words,
    time_unit,
)

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
    digits = digits_of(estimate)
    scale, unit = time_unit(estimate.value, digits)
    places = decimals(estimate.value / scale, digits) if estimate.value else 3
    dash = "–" if estimate.low >= 0.0 else " to "
    return f"{estimate.low / scale:,.{places}f}{dash}{estimate.high / scale:,.{places}f} {unit}"


def percent(estimate: Estimate) -> str:
    """Write a ratio as a percentage; one decimal where the interval supports it."""
    if estimate.value is None:
        return NOTHING
    return f"{100.0 * estimate.value:.{_percent_places(estimate)}f}%"


def complement(estimate: Estimate) -> Estimate:
    """Return what is left of a whole: idle of busy."""
    if estimate.value is None:
        return estimate
    low, high = estimate.low, estimate.high
    return Estimate(
        value=1.0 - estimate.value,
        low=None if high is None else 1.0 - high,
        high=None if low is None else 1.0 - low,
        unit=estimate.unit,
        method=f"1 - {estimate.method}",
        n=estimate.n,
    )


def percent_interval(estimate: Estimate) -> str:
    """Write the interval of a ratio in per cent."""
    if estimate.low is None or estimate.high is None:
        return NOTHING
    places = _percent_places(estimate)
    return f"{100.0 * estimate.low:.{places}f}% to {100.0 * estimate.high:.{places}f}%"


def _percent_places(estimate: Estimate) -> int:
    if estimate.low is None or estimate.high is None:
        return 0
    half = 50.0 * (estimate.high - estimate.low)
    return 0 if half >= 1.0 else 1


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


def ratio_interval(ratio: Estimate) -> str:
    """Write the interval of a ratio with the decimals of its value.

    Two at least: an end beyond 1.02, which makes a verdict, must not read 1.0.
    """
    places = max(2, decimals(ratio.value or 1.0, digits_of(ratio)))
    return f"{ratio.low:.{places}f}–{ratio.high:.{places}f}"


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


_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = ".:-=+*#@"


def sparkline(values: Sequence[float | None], *, ascii_only: bool = False) -> str:
    """Draw values on a scale from zero to their largest; a space where there is none.

    From zero, so that noise of a few per cent does not look like mountains.
    """
    top = max((value for value in values if value is not None), default=0.0)
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    scale = (len(blocks) - 1) / top if top > 0.0 else 0.0
    return "".join(" " if v is None else blocks[max(0, round(v * scale))] for v in values)


def reasons(estimates: Sequence[tuple[str, Estimate]]) -> list[str]:
    """Return one line per reason for which values are null, naming what it concerns."""
    grouped: dict[str, dict[str, None]] = {}
    for name, estimate in estimates:
        if estimate.value is None and estimate.reason:
            grouped.setdefault(estimate.reason, {})[name] = None
    return [f"{', '.join(names)}: {reason}" for reason, names in grouped.items()]
