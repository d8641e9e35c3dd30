"""Claim 6: the arithmetic of a step against what this device reaches."""

from __future__ import annotations

from bisect import bisect_left

from seqprof.analysis.compare.rounds import rounds_of
from seqprof.analysis.depth.model_depth import ModelDepth
from seqprof.analysis.explain.claim import Claim, Evidence, Figure, Question, below
from seqprof.analysis.explain.facts import Reachable
from seqprof.analysis.explain.growth import why_no_grid
from seqprof.analysis.explain.load import (
    beside_others,
    few_rounds,
    in_words,
    waited,
    without_others,
)
from seqprof.analysis.run.phases import headline_steps
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.scale.summary import Point
from seqprof.analysis.statistics import Estimate, estimate_median, median, missing
from seqprof.recording import Trial

#: The hardware is underused below this share of what a large matrix product reaches.
UNDERUSED_BELOW = 0.5
_SHARE = (
    "analytic FLOPs / step time / FLOP/s of the large matrix product timed nearest to it, median "
    "over rounds"
)


def underused(evidence: Evidence) -> Claim:
    """By achieved over reachable FLOP/s at the size at which candidates are held together."""
    facts, label = evidence.facts, evidence.first.label
    shares = shares_of_reachable(evidence, label)
    question = Question(
        number=6,
        label=label,
        text="So the hardware is underused",
        tested="FLOPs of a step / its time, against a large matrix product timed between the "
        "rounds on the same device",
        figures=(
            _reached(facts.reachable),
            *(figure for _, figure in shares),
            *_idle(evidence.run),
            *_floors(evidence),
        ),
    )
    known = [(point, f.estimate) for point, f in shares if f.estimate.value is not None]
    if not known:
        why = next((f.estimate.reason for _, f in shares if f.estimate.reason), None)
        return question.untested(why or why_no_grid(evidence, "no step was measured"))
    base = [(p, s) for p, s in known if (p.timesteps, p.batch_size) == facts.base]
    point, share = base[0] if base else known[0]
    most, best = max(known, key=lambda pair: pair[1].value or 0.0)
    brief = f"{_percent(share)} of the FLOP/s of a large matrix product"
    because = (
        f"at T = {point.timesteps:,}, batch {point.batch_size} it does {_percent(share)} of the "
        f"arithmetic per second that a large matrix product reaches here; {_percent(best)} at "
        f"best, at T = {most.timesteps:,}, batch {most.batch_size}"
    )
    if share.low is None:
        return question.untested(few_rounds(evidence, label))
    busy = waited(evidence, label, point.timesteps, point.batch_size)  # the product waits as much
    if below(share, UNDERUSED_BELOW) is None:
        text = f"{because}; noise hides on which side of half it is"
        return question.answered(None, beside_others(busy, text))
    holds = below(without_others(share, busy, busy), UNDERUSED_BELOW)
    if holds is None:
        return question.answered(None, f"{in_words(busy)}; {because}")
    return question.answered(holds, because, brief)


def _percent(share: Estimate) -> str:
    value = share.value or 0.0
    return f"{value:.1%}" if value >= 0.001 else f"{100.0 * value:.1g}%"


def _reached(reachable: Reachable) -> Figure:
    """The reference itself."""
    name = f"FLOP/s of a {reachable.size:,} × {reachable.size:,} matrix product"
    name += f", {reachable.precision}" if reachable.precision else ""
    absent = reachable.reason or "it was not measured"
    method = "2 n³ / time, median over the session"
    return Figure(
        name=name,
        estimate=estimate_median(reachable.flops, unit="FLOP/s", method=method, absent=absent),
    )


def shares_of_reachable(evidence: Evidence, label: str) -> list[tuple[Point, Figure]]:
    """Return achieved over reachable FLOP/s at each point of a candidate."""
    facts, scaled = evidence.facts, evidence.scaled
    if scaled is None or facts.scaling is None:
        return []
    shares = []
    for point, trial in zip(scaled.points, facts.scaling.trials, strict=True):
        if point.label == label and point.failed is None:
            name = f"achieved / reachable, T = {point.timesteps:,}, batch {point.batch_size}"
            shares.append((point, Figure(name=name, estimate=_share(trial, facts.reachable))))
    return shares


def _share(trial: Trial, reachable: Reachable) -> Estimate:
    """Of each round, by the product nearest in time: both then ran beside the same other load."""
    flops = trial.workload.flops_per_step
    if flops is None:
        return missing("1", _SHARE, trial.workload.flops_reason or "its FLOPs are not known")
    if not reachable.seconds:
        return missing("1", _SHARE, reachable.reason or "the matrix product was not timed")
    began_s = {step.pair: step.started_at_s for step in reversed(headline_steps(trial))}
    series = rounds_of(trial)
    values = [
        flops / seconds / _flops_near(reachable, began_s[round_])
        for round_, seconds in zip(series.rounds, series.step, strict=True)
    ]
    return estimate_median(values, unit="1", method=_SHARE, absent="no round was measured")


def _flops_near(reachable: Reachable, at_s: float) -> float:
    """Return FLOP/s of the products just before and just after, the median of both."""
    after = bisect_left(reachable.at_s, at_s)
    return median(reachable.flops[max(0, after - 1) : after + 1])


def _idle(run: Summary | None) -> tuple[Figure, ...]:
    """Idle time by phase, of the accelerator or of the cores that stand in for one."""
    if run is None:
        return ()
    return tuple(
        Figure(
            name=f"{'device' if part.on_device else 'cores'} idle, {part.phase}",
            estimate=part.idle_time,
            part_of=part.time,
        )
        for part in run.idle
        if part.idle_time.value is not None
    )


def _floors(evidence: Evidence) -> tuple[Figure, ...]:
    """What the chain alone takes at a stated latency: derived, and marked as such."""
    scaled = evidence.scaled
    base = evidence.facts.base[0]
    longest = max((p.timesteps for p in scaled.points), default=base) if scaled else base
    latency_s = evidence.facts.assumptions.kernel_latency_s
    return tuple(
        _floor(one.label, one.depth, timesteps, latency_s)
        for one in evidence.facts.candidates
        if one.depth is not None
        for timesteps in sorted({base, longest})
    )


def _floor(label: str, depth: ModelDepth, timesteps: int, latency_s: float) -> Figure:
    """What the chain of a step takes: recorded at this T, else by its law."""
    at, floor, law = depth.at, depth.latency_floor_s, depth.depth_law
    if at.timesteps == timesteps:
        value, method, reason = floor.value, floor.method, floor.reason
    elif depth.recorded.on_device is not None:
        method = floor.method
        value, reason = None, f"the device's own operators were counted at T = {at.timesteps:,}"
    else:
        operations = law.at(timesteps)
        value = None if operations is None else operations * latency_s
        method, reason = f"{floor.method}, depth by its law", law.reason or "no law of its depth"
    return Figure(
        name=f"{label}: its chain alone at T = {timesteps:,}",
        estimate=Estimate(
            value=value, unit="s", method=method, reason=reason if value is None else None
        ),
        derived=True,
    )
