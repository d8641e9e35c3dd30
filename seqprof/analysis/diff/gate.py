"""`--fail-if-slower`: may this change pass?

It fails only what is slower beyond the threshold with 95 % confidence. It never passes in silence
what it could not compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.diff.differences import CaseChange, Differences
from seqprof.analysis.diff.metric_change import MetricChange
from seqprof.analysis.diff.unpaired import inverse
from seqprof.analysis.run.caveats.every import HIGH_DRIFT
from seqprof.analysis.statistics import Estimate
from seqprof.errors import SeqprofError
from seqprof.suggest import did_you_mean

#: What is gated where `--metric` names nothing.
DEFAULT_METRICS = ("step_time",)
GateVerdict = Literal["failed", "passed", "inconclusive", "not compared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedMetric:
    """One metric against the threshold."""

    case: str
    metric: str
    slowdown: Annotated[Estimate, Meta(description="how many times as bad the new run is")]
    verdict: Annotated[
        GateVerdict,
        Meta(
            description="failed: worse than the threshold, interval and all; passed: not worse, "
            "interval and all; inconclusive: the interval holds the threshold, or what has to "
            "agree does not"
        ),
    ]
    reason: Annotated[
        str | None, Meta(description="why it was not compared, or is inconclusive")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The outcome of all gated metrics."""

    threshold: float
    metrics: tuple[GatedMetric, ...]

    def having(self, verdict: GateVerdict) -> tuple[GatedMetric, ...]:
        """Return the metrics with this verdict."""
        return tuple(metric for metric in self.metrics if metric.verdict == verdict)


def parse_threshold(text: str) -> float:
    """Read ``5%`` or ``0.05``.

    Raises:
        SeqprofError: it is neither, or not above 0.
    """
    matched = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(matched[1]) / (100.0 if matched[2] else 1.0) if matched else math.nan
    # 5 without the sign would be 500 %: more likely a slip than meant.
    if not 0.0 < value < 1.0:
        raise SeqprofError(
            f"--fail-if-slower {text}: not a threshold", "as in 5% or 0.05, above 0 and below 100%"
        )
    return value


def choose(differences: Differences, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the metrics that ``wanted`` names: step_time, phase_time.backward.

    A name without a phase stands for all phases.

    Raises:
        SeqprofError: no case has such a metric.
    """
    known = dict.fromkeys(metric.key for case in differences.cases for metric in case.metrics)
    chosen: dict[str, None] = {}
    for name in wanted:
        matching = [key for key in known if key == name or key.startswith(f"{name}.")]
        if not matching:
            heads = dict.fromkeys(key.partition(".")[0] for key in known)
            raise SeqprofError(
                f"--metric {name}: the recordings have no such metric"
                f"{did_you_mean(name, [*heads, *known], listed=heads)}"
            )
        chosen |= dict.fromkeys(matching)
    return tuple(chosen)


def hold(differences: Differences, threshold: float, keys: Sequence[str]) -> Gate:
    """Hold the metrics ``keys`` of every case against ``threshold``."""
    return Gate(
        threshold=threshold,
        metrics=tuple(
            _judge(case, metric, threshold) for case, metric in _gated(differences, keys)
        ),
    )


def _gated(
    differences: Differences, keys: Sequence[str]
) -> Iterator[tuple[CaseChange, MetricChange]]:
    for case in differences.cases:
        for metric in case.metrics:
            if metric.key in keys:
                yield case, metric


def _judge(case: CaseChange, metric: MetricChange, threshold: float) -> GatedMetric:
    slowdown = worsening(metric.ratio, metric)
    verdict, reason = _verdict(metric, slowdown, threshold)
    if verdict == "failed" and (drifted := _within_drift(case, slowdown, threshold)):
        verdict, reason = "inconclusive", drifted
    return GatedMetric(
        case=case.name, metric=metric.key, slowdown=slowdown, verdict=verdict, reason=reason
    )


def _within_drift(case: CaseChange, slowdown: Estimate, threshold: float) -> str | None:
    """Say where a step time that changed while it was measured may be all of the difference."""
    if case.drift <= HIGH_DRIFT or (slowdown.low or 0.0) > (1.0 + threshold) * (1.0 + case.drift):
        return None
    return (
        f"the step time of a recording changed by {case.drift:.0%} while it was measured: measure "
        "again on a machine at rest"
    )


def _verdict(
    metric: MetricChange, slowdown: Estimate, threshold: float
) -> tuple[GateVerdict, str | None]:
    limit = 1.0 + threshold
    if slowdown.value is None:
        return "not compared", slowdown.reason
    if metric.worse is None:
        return "not compared", "neither more nor less of it is worse"
    if slowdown.low is None or slowdown.high is None:
        return "not compared", f"it has no interval (n = {slowdown.n}; times need 6 steps in each)"
    held_off = _held_off(metric, limit, failing=slowdown.low > limit)
    if slowdown.low <= limit < slowdown.high:
        return "inconclusive", "the interval reaches beyond that"
    if slowdown.high <= limit:
        return ("passed", None) if held_off is None else ("inconclusive", held_off)
    if metric.fast is not None:
        fast = worsening(metric.fast, metric)
        if fast.value is None or fast.low is None or fast.value <= limit or fast.low <= 1.0:
            return (
                "inconclusive",
                f"the fast quartile of the steps is {fast.value or 1.0:.3f} times",
            )
    return ("failed", None) if held_off is None else ("inconclusive", held_off)


def _held_off(metric: MetricChange, limit: float, *, failing: bool) -> str | None:
    """Say where other programs may be what made the difference: processor time disagrees."""
    if metric.processor is None:
        return None
    used = worsening(metric.processor, metric)
    if used.low is not None and used.high is not None:
        agrees = used.low > limit if failing else used.high <= limit
        if agrees:
            return None
    ratio = f"{used.value:.3f} times ({_interval(used)})" if used.value else "not known"
    return (
        "other programs competed for the processor, and the processor time of a step, which they "
        f"change less, is {ratio}"
    )


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def worsening(ratio: Estimate, metric: MetricChange) -> Estimate:
    """Return how many times as bad the new value is: the ratio, turned over where less is worse."""
    return inverse(ratio) if metric.worse == "smaller" else ratio
