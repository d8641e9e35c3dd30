"""Paired ratios as the benchmarks print them."""

from __future__ import annotations

from collections.abc import Sequence

from seqprof.analysis.statistics import estimate_median


def described(ratios: Sequence[float], digits: int = 3) -> str:
    """The median with its 95 % interval, which few ratios do not have."""
    found = estimate_median(ratios, unit="1", method="median of paired ratios", absent="none")
    if found.value is None:
        return str(found.reason)
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f} (n = {found.n}: too few for an interval)"
    interval = f"{found.low:.{digits}f} to {found.high:.{digits}f}"
    return f"{found.value:.{digits}f} (95 %: {interval}, n = {found.n})"
