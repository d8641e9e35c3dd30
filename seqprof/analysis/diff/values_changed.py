"""What a recording has one value of, compared: counts, memory, utilization, marginal cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from seqprof.analysis.diff.metric_change import AMOUNT, TIME, MetricChange, without_ratio
from seqprof.analysis.diff.unpaired import Verdict, judge, of_estimates, process_spread
from seqprof.analysis.quantities import Quantity, values
from seqprof.analysis.run.quantities.run import IDLE_TIME, RUN, Measured
from seqprof.analysis.statistics import Estimate, missing

_Key = tuple[Quantity, str | None]
_COMPARED = tuple(entry for entry in RUN if entry[0].judged is not None)


def compare_values(
    before: Measured, after: Measured, contended: tuple[float, float]
) -> Iterator[MetricChange]:
    """Yield each value that either recording has, all of one metric together.

    Args:
        before: the base.
        after: the new run.
        contended: of both, the share of the threads that no core was free for.
    """
    old, now = _values(before), _values(after)
    absent = missing("1", "", "not in this recording")
    for quantity, _ in _COMPARED:
        for key in dict.fromkeys((*old, *now)):
            if key[0] == quantity:
                yield _compared(key, old.get(key, absent), now.get(key, absent), contended)


def _values(run: Measured) -> Mapping[_Key, Estimate]:
    return {
        (quantity, place.get("phase")): estimate
        for quantity, estimate, place in values(_COMPARED, run)
    }


def _compared(
    key: _Key, base: Estimate, new: Estimate, contended: tuple[float, float]
) -> MetricChange:
    quantity, phase = key
    if base.value is None or new.value is None:
        return without_ratio(quantity, phase, base, new)
    if base.method != new.method and base.unit == "B":
        reason = f"methods differ: {base.method} → {new.method}"
        return without_ratio(quantity, phase, base, new, reason=reason)
    verdict: Verdict | None
    if base.value > 0 and (quantity.judged == "count" or base.method == "allocator"):
        ratio = _of_counts(base.value, new.value, new.n)
        verdict = "equivalent" if new.value == base.value else judge(ratio, (), AMOUNT)
    else:
        lasts_s = min(base.value, new.value) if quantity == IDLE_TIME else None
        spread = math.hypot(*(process_spread(share, lasts_s) for share in contended))
        ratio = of_estimates(base, new, spread)
        verdict = judge(ratio, (), TIME if quantity.judged == "time" else AMOUNT)
    return MetricChange(
        metric=quantity.key,
        phase=phase,
        base=base,
        new=new,
        ratio=ratio,
        verdict=verdict,
        worse=quantity.worse,
    )


def _of_counts(base: float, new: float, n: int) -> Estimate:
    """Counts do not scatter."""
    ratio = new / base
    return Estimate(value=ratio, low=ratio, high=ratio, unit="1", method="exact counts", n=n)
