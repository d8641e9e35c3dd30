"""Claim 7: what another candidate changes about the chain, and what it pays for that."""

from __future__ import annotations

from seqprof.analysis.explain.claim import (
    Claim,
    Evidence,
    Figure,
    Question,
    counted,
    grows_with_length,
)
from seqprof.analysis.explain.facts import Subjected
from seqprof.analysis.explain.load import waited
from seqprof.analysis.statistics import Estimate


def removes_chain(evidence: Evidence, other: Subjected) -> Claim:
    """By the other candidate's graph; its times beside the first one's."""
    first = evidence.first
    question = Question(
        number=7,
        label=other.label,
        text=f"{other.label} removes the chain",
        tested="law of its depth over T; whole steps of both at the same T, in turns",
        figures=(*_times_beside(evidence, other.label), *_pays(other)),
    )
    law = None if other.depth is None else other.depth.depth_law
    grows = None if law is None else grows_with_length(law)
    times = beside(evidence, other.label)
    if law is None or grows is None:
        reason = other.depth_reason or (law.reason if law else None)
        return question.untested(reason or "no graph was recorded")
    if first.depth is not None and grows_with_length(first.depth.forward_depth_law) is False:
        return question.untested(f"{first.label} has no chain over T that could be removed")
    chained = "still grows with T" if grows else "does not grow with T"
    costs = "".join(f"; {text}" for text in _pays_in_words(other))
    because = f"its chain {chained}: {law.text} operations; {times}{costs}"
    return question.answered(not grows, because, f"chain {law.text}; {times}")


def _times_beside(evidence: Evidence, label: str) -> tuple[Figure, ...]:
    if evidence.scaled is None:
        return ()
    first, batch = evidence.first.label, evidence.facts.base[1]
    along = [
        point
        for point in evidence.scaled.points
        if point.label in (first, label) and point.batch_size == batch
    ]
    steps = [Figure(name=f"{p.label}: step at T = {p.timesteps:,}", estimate=p.step) for p in along]
    longest = max((p.timesteps for p in along if p.failed is None), default=0)
    memory = [
        Figure(name=f"{p.label}: peak memory at T = {longest:,}", estimate=p.peak_memory)
        for p in along
        if p.timesteps == longest and p.peak_memory.value is not None
    ]
    return (*steps, *_crossings(evidence, label), *memory)


def _crossings(evidence: Evidence, label: str) -> tuple[Figure, ...]:
    assert evidence.scaled is not None
    pair, batches = {evidence.first.label, label}, (evidence.facts.base[1], None)
    return tuple(
        Figure(
            name=f"{m.first} and {m.second} take the same time at T"
            + (" (extrapolated)" if m.crossover.extrapolated else ""),
            estimate=m.crossover.length,
        )
        for m in evidence.scaled.crossovers
        if {m.first, m.second} == pair and m.quantity == "step" and m.batch_size in batches
    )


def _doublings(other: Subjected) -> list[tuple[str, int, float]]:
    """Return what twice the length costs it by its graph: of what, from which T, how many times."""
    if other.depth is None:
        return []
    points = {point.timesteps: point.step for point in other.depth.recorded.points}
    t = max((t for t in points if 2 * t in points), default=None)
    if t is None:
        return []
    before, after = points[t], points[2 * t]
    both = (
        ("FLOPs", before.work_flops, after.work_flops),
        ("bytes read and written", before.work_bytes, after.work_bytes),
    )
    return [(name, t, after / before) for name, before, after in both if before]


def _pays(other: Subjected) -> tuple[Figure, ...]:
    method = "ratio, counted on shapes alone"
    return tuple(
        counted(f"{other.label}: {name} from T = {t:,} to {2 * t:,}", ratio, method)
        for name, t, ratio in _doublings(other)
    )


def _pays_in_words(other: Subjected) -> list[str]:
    return [
        f"twice T = {t:,} takes {ratio:.1f}× the {name}"
        for name, t, ratio in _doublings(other)
        if ratio > 2.05
    ]


def beside(evidence: Evidence, label: str) -> str:
    """Say which of the two is faster here at the longest T that both were measured at."""
    if evidence.scaled is None:
        return "no times were measured"
    first, size = evidence.first.label, evidence.facts.base[1]
    times = {
        (p.label, p.timesteps): p.step
        for p in evidence.scaled.points
        if p.batch_size == size and p.step.value is not None
    }
    both = [t for name, t in times if name == label and (first, t) in times]
    if not both:
        return "no times of both were measured"
    t = max(both)
    one, other = times[first, t], times[label, t]
    if _overlap(one, other):
        return f"at T = {t:,} both take about the same time here"
    assert one.value is not None
    assert other.value is not None
    busy = max(waited(evidence, name, t, size) for name in (first, label))
    if min(one.value, other.value) > (1.0 - busy) * max(one.value, other.value):
        return f"which is faster at T = {t:,} cannot be told: others used the processor"
    if other.value < one.value:
        return f"at T = {t:,} it is {one.value / other.value:.1f}× faster than {first} here"
    reasons = why_faster(evidence, first)
    return f"at T = {t:,} {first} is {other.value / one.value:.1f}× faster all the same{reasons}"


def _overlap(one: Estimate, other: Estimate) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def why_faster(evidence: Evidence, label: str) -> str:
    """Name the facts that let a recurrence win: what was seen, no theory."""
    facts = evidence.facts
    assert facts.scaling is not None
    trials = zip(facts.scaling.candidates, facts.scaling.trials, strict=True)
    fused = any(c.label == label and t.workload.execution == "fused" for c, t in trials)
    environment = facts.scaling.environment
    threads = environment.threads
    where = [] if environment.device.is_accelerator else [f"{threads} thread{'s'[: threads > 1]}"]
    seen = [*(["fused primitive"] if fused else []), *where]
    return f" ({', '.join(seen)})" if seen else ""
