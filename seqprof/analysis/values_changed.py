"""What a recording has one value of, compared: counts, memory, utilization, marginal cost."""

from __future__ import annotations

import math
from collections.abc import Iterator

from seqprof.analysis.findings import Findings
from seqprof.analysis.metric_change import AMOUNT, TIME, MetricChange, Worse, without_ratio
from seqprof.analysis.statistics import Estimate, missing
from seqprof.analysis.unpaired import Verdict, judge, of_estimates, process_spread

#: Metrics that are worse when they are larger; of utilizations neither is.
_COSTS = frozenset(
    {"peak_memory", "operations", "idle_time", "energy_per_repetition", "depth_operations"}
)
#: Metrics that are counted: any difference is one.
_COUNTS = frozenset({"operations", "depth_operations"})
#: A time that is derived, and judged as times are.
_MARGINAL = "marginal_time_per_timestep"
_Key = tuple[str, str | None]


def compare_values(
    before: Findings, after: Findings, contended: tuple[float, float]
) -> Iterator[MetricChange]:
    """Yield each value that either recording has, all of one metric together.

    Args:
        before: of the base.
        after: of the new run.
        contended: of both, the share of the threads that no core was free for.
    """
    old, now = dict(_values(before)), dict(_values(after))
    absent = missing("1", "", "not in this recording")
    keys = dict.fromkeys((*old, *now))
    metrics = list(dict.fromkeys(metric for metric, _ in keys))
    for key in sorted(keys, key=lambda key: metrics.index(key[0])):
        yield _compared(key, old.get(key, absent), now.get(key, absent), contended)


def _values(findings: Findings) -> Iterator[tuple[_Key, Estimate]]:
    for phase in findings.phases:
        yield ("peak_memory", phase.phase), phase.peak_memory
        yield ("operations", phase.phase), phase.operations
    for idle in findings.idle:
        yield ("nvml_utilization", idle.phase), idle.nvml_utilization
        yield ("busy_fraction", idle.phase), idle.busy_fraction
        yield ("sm_active", idle.phase), idle.sm_active
        yield ("model_flops_utilization", idle.phase), idle.model_flops_utilization
        yield ("core_busy_fraction", idle.phase), idle.core_busy_fraction
        yield ("idle_time", idle.phase), idle.idle_time
    for dwell in findings.dwells:
        yield ("power", dwell.phase), dwell.power
        yield ("energy_per_repetition", dwell.phase), dwell.energy
    for cost in findings.marginal:
        yield (_MARGINAL, cost.phase), cost.marginal
    yield ("depth_operations", None), _depth(findings)


def _depth(findings: Findings) -> Estimate:
    law, method = findings.depth, "derived from shapes"
    if law is None or law.depth_ops is None:
        return missing("1", method, (law and law.reason) or "not in this recording")
    return Estimate(value=law.depth_ops, unit="1", method=method, n=1)


def _compared(
    key: _Key, base: Estimate, new: Estimate, contended: tuple[float, float]
) -> MetricChange:
    metric, phase = key
    worse: Worse | None = "larger" if metric == _MARGINAL or metric in _COSTS else None
    if base.value is None or new.value is None:
        return without_ratio(metric, phase, base, new, worse)
    if metric == "peak_memory" and base.method != new.method:
        reason = f"methods differ: {base.method} → {new.method}"
        return without_ratio(metric, phase, base, new, worse, reason=reason)
    verdict: Verdict | None
    if base.value > 0 and (metric in _COUNTS or base.method == "allocator"):
        ratio = _of_counts(base.value, new.value, new.n)
        verdict = "equivalent" if new.value == base.value else judge(ratio, (), AMOUNT)
    else:
        lasts_s = min(base.value, new.value) if metric == "idle_time" else None
        spread = math.hypot(*(process_spread(share, lasts_s) for share in contended))
        ratio = of_estimates(base, new, spread)
        verdict = judge(ratio, (), TIME if metric == _MARGINAL else AMOUNT)
    return MetricChange(
        metric=metric, phase=phase, base=base, new=new, ratio=ratio, verdict=verdict, worse=worse
    )


def _of_counts(base: float, new: float, n: int) -> Estimate:
    """Counts do not scatter."""
    ratio = new / base
    return Estimate(value=ratio, low=ratio, high=ratio, unit="1", method="exact counts", n=n)
