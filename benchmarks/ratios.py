"""Paired ratios as the benchmarks print them."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.statistics import paired_change


def described(ratios: Sequence[float], digits: int = 3) -> str:
    """The median with its 95 % interval, which few ratios do not have."""
    ones = [1.0] * len(ratios)
    change = paired_change(ratios, ones, method="median of paired ratios", absent="none")
    if change.value is None:
        return str(change.reason)
    if change.low is None or change.high is None:
        return f"{1 + change.value:.{digits}f} (n = {change.n}: too few for an interval)"
    interval = f"{1 + change.low:.{digits}f} to {1 + change.high:.{digits}f}"
    return f"{1 + change.value:.{digits}f} (95 %: {interval}, n = {change.n})"
