"""Figures that were obtained in different ways, held against each other (docs/metrics.md).

A disagreement is one beyond the intervals and beyond what rounding and the clocks' own cost make.
Neither figure is changed: both are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seqprof.analysis.run.findings import Findings
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import seconds_in_words

#: Differences below this share of the larger figure are of no consequence.
NEGLIGIBLE = 0.05


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two figures of one quantity, in words."""

    what: str
    one: str
    other: str


def disagreements(findings: Findings) -> Iterator[Disagreement]:
    """Return what does not agree in one trial."""
    yield from _phases_and_step(findings)
    yield from _busy_of_phases_and_step(findings)
    yield from _dwells_and_phases(findings)


def apart(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two intervals exclude each other by more than is negligible."""
    gap = max(a[0] - b[1], b[0] - a[1])
    return gap > NEGLIGIBLE * max(abs(a[1]), abs(b[1]))


def _range(estimate: Estimate) -> tuple[float, float] | None:
    """Return the interval; where there is none, the value alone is no ground for a claim."""
    return None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def _phases_and_step(findings: Findings) -> Iterator[Disagreement]:
    ranges = [_range(phase.time) for phase in findings.phases]
    step = _range(findings.step)
    known = [part for part in ranges if part is not None]
    if step is None or not known or len(known) < len(ranges):
        return
    total = sum(low for low, _ in known), sum(high for _, high in known)
    if apart(total, step):
        values = sum(phase.time.value or 0.0 for phase in findings.phases)
        yield Disagreement(
            "the phases together, and the step",
            seconds_in_words(values),
            seconds_in_words(findings.step.value or 0.0),
        )


def _busy_of_phases_and_step(findings: Findings) -> Iterator[Disagreement]:
    whole = next((idle for idle in findings.idle if idle.phase == "step"), None)
    parts = [idle for idle in findings.idle if idle.phase != "step"]
    if whole is None or not parts:
        return
    step = _busy_time(whole.time, whole.busy)
    ranges = [_busy_time(part.time, part.busy) for part in parts]
    known = [part for part in ranges if part is not None]
    if step is None or len(known) < len(ranges):
        return
    total = sum(low for low, _ in known), sum(high for _, high in known)
    if apart(total, step):
        yield Disagreement(
            "busy time of the phases together, and of the step",
            seconds_in_words(sum(total) / 2),
            seconds_in_words(sum(step) / 2),
        )


def _busy_time(time: Estimate, busy: Estimate) -> tuple[float, float] | None:
    """Return the interval of time x busy share; of a share without interval its value counts."""
    whole = _range(time)
    if whole is None or busy.value is None:
        return None
    low, high = _range(busy) or (busy.value, busy.value)
    return whole[0] * low, whole[1] * high


def _dwells_and_phases(findings: Findings) -> Iterator[Disagreement]:
    phases = {phase.phase: phase.time for phase in findings.phases}
    for dwell in findings.dwells:
        time = findings.step if dwell.phase == "step" else phases.get(dwell.phase)
        interval = _range(time) if time is not None else None
        if dwell.per_repeat_s is None or time is None or interval is None:
            continue
        if apart(interval, (dwell.per_repeat_s, dwell.per_repeat_s)):
            yield Disagreement(
                f"the {dwell.phase} in a step, and repeated alone",
                seconds_in_words(time.value or 0.0),
                seconds_in_words(dwell.per_repeat_s),
            )
