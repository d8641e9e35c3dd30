"""Claims 1 to 3: the chain over the timesteps, how much runs beside it, and BPTT."""

from __future__ import annotations

from itertools import pairwise

from seqprof.analysis.depth.model_depth import ModelDepth
from seqprof.analysis.explain.claim import (
    Claim,
    Evidence,
    Figure,
    Question,
    counted,
    grows_with_length,
)
from seqprof.analysis.explain.facts import Influence, Subjected
from seqprof.analysis.run.summary import Summary

#: Share of neighbouring timesteps whose gradients must come in reverse order.
IN_ORDER = 0.99
_COUNTED = "counted on shapes alone"


def chain(evidence: Evidence) -> Claim:
    """By the graph of operations, and by changing single inputs."""
    one = evidence.first
    question = Question(
        number=1,
        label=one.label,
        text="Timestep t cannot start before t-1 has ended",
        tested="graph of the operations recorded on shapes; inputs of single timesteps changed",
        figures=_depth_figures(one),
    )
    law = None if one.depth is None else one.depth.forward_depth_law
    grows = None if law is None else grows_with_length(law)
    said, propagates = propagation(one.influence)
    if propagates is False:
        chained = "" if law is None or law.text is None else f"; chain of the forward: {law.text}"
        return question.answered(False, f"{said}{chained}", said)
    if law is None or grows is None:
        reason = one.depth_reason or (law.reason if law else None)
        return question.untested(reason or "no law of its depth is known")
    chained = "grows with T" if grows else "does not grow with T"
    because = f"the longest forward chain {chained}: {law.text} operations; {said}"
    return question.answered(grows, because, f"forward chain {law.text}; {said}")


def _depth_figures(one: Subjected) -> tuple[Figure, ...]:
    if one.depth is None:
        return ()
    at = one.depth.at
    return (
        counted(f"chain of the forward, T = {at.timesteps:,}", at.forward.depth_ops, _COUNTED),
        counted(f"chain of the step, T = {at.timesteps:,}", at.step.depth_ops, _COUNTED),
    )


def propagation(influence: Influence) -> tuple[str, bool | None]:
    """Say how changes go through the model, and whether all later outputs see them.

    Returns:
        None where it was not tried. Outputs before a change may see it too, as those of a
        bidirectional model do: that is said, and denies no chain.
    """
    if influence.reason is not None:
        return f"single inputs were not changed: {influence.reason}", None
    last = influence.timesteps - 1
    for effect in influence.effects:
        if not set(range(effect.timestep, last + 1)) <= set(effect.changed):
            return f"a change at t = {effect.timestep} does not reach all later outputs", False
    early = [e.timestep for e in influence.effects if any(t < e.timestep for t in e.changed)]
    if early:
        return f"a change at t = {early[0]} changes outputs after it and before it", True
    return f"a change at t = 0 reaches t = {last}, never backwards", True


# 2 --------------------------------------------------------------------------------------------


def parallelism(evidence: Evidence) -> Claim:
    """By work and depth of one timestep, and by how many timesteps are under way at once."""
    one = evidence.first
    question = Question(
        number=2,
        label=one.label,
        text="Operations run in parallel within a timestep, not across",
        tested="of the forward: work / depth of one timestep alone; T × its own depth / depth at T",
        figures=() if one.depth is None else _parallelism_figures(one.depth),
    )
    if one.depth is None:
        return question.untested(one.depth_reason or "no graph was recorded")
    law = one.depth.forward_depth_law
    grows, beside = grows_with_length(law), forward_parallelism(one.depth)
    if beside is None:
        return question.untested("the model cannot run on a sequence of one timestep")
    if grows is None:
        return question.untested(law.reason or "no law of the forward's depth is known")
    within, across = beside
    at_once = f"{_short(within)} operations at once within a timestep"
    under_way = f"{_short(across)} of {one.depth.at.timesteps:,} timesteps under way at once"
    because = f"{at_once}; {under_way}" + ("" if grows else ": all, however long the sequence")
    brief = f"{_short(within)} at once within, {_short(across)} across"
    return question.answered(grows and within > 1.0, because, brief)


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10.0 else f"{value:,.0f}"


def forward_parallelism(depth: ModelDepth) -> tuple[float, float] | None:
    """Return operations at once within a timestep, and timesteps under way at once.

    Of the forward: the backward adds up each weight's gradient timestep by timestep, a chain that
    is there even where no timestep needs another. None where one timestep alone cannot run.
    """
    single = depth.recorded.single
    if single is None or single.forward.parallelism is None:
        return None
    points = {point.timesteps: point.forward for point in depth.recorded.points}
    more = [points[t + 1].depth_ops - points[t].depth_ops for t in points if t + 1 in points]
    own = max(single.forward.depth_ops, *more[-1:], 0)
    across = depth.at.timesteps * own / depth.at.forward.depth_ops
    return single.forward.parallelism, min(across, float(depth.at.timesteps))


def _parallelism_figures(depth: ModelDepth) -> tuple[Figure, ...]:
    figures = []
    beside = forward_parallelism(depth)
    if beside is not None:
        method = "work / depth of the forward of one timestep alone"
        figures.append(counted("forward: operations at once within a timestep", beside[0], method))
        method = "T × own depth of a timestep / depth at T, of the forward"
        figures.append(counted("forward: timesteps under way at once", beside[1], method))
    for name, derived in (
        ("whole step: operations at once within a timestep", depth.within_timestep),
        ("whole step: timesteps under way at once", depth.across_timesteps),
    ):
        if derived.value is not None:
            figures.append(counted(name, derived.value, derived.method))
    return tuple(figures)


# 3 --------------------------------------------------------------------------------------------


def backward(evidence: Evidence) -> Claim:
    """By the chains of both passes, by gradients, and by the order in which they came."""
    one, cascade = evidence.first, evidence.facts.cascade
    question = Question(
        number=3,
        label=one.label,
        text="The backward pass (BPTT) has the same chain, reversed",
        tested="chains of both passes; which inputs the last output's gradient reaches; when each "
        "timestep's gradient came, in one step; latencies from `run`'s marks",
        figures=_latencies(evidence.run),
    )
    denied = _no_backward_chain(one.depth) or _cut_gradient(one.influence)
    if denied is not None:
        return question.answered(False, denied, denied)
    came = [at for at in cascade.gradient_s if at is not None]
    if cascade.reason is not None or len(came) < 2:
        return question.untested(cascade.reason or "no gradient of a timestep's output came")
    share = sum(a > b for a, b in pairwise(came)) / (len(came) - 1)
    order = f"{share:.0%} of the gradients came in reverse order"
    law = None if one.depth is None else one.depth.backward_depth_law
    chained = "" if law is None or law.text is None else f"; its chain: {law.text} operations"
    because = f"{order}, {len(came):,} timesteps{chained}; {_gradients(one.influence)}"
    return question.answered(share >= IN_ORDER, because, order)


def _no_backward_chain(depth: ModelDepth | None) -> str | None:
    """Say what the graph lacks of a chain that goes back; None where it lacks nothing."""
    if depth is None:
        return None
    if grows_with_length(depth.forward_depth_law) is False:
        law = depth.forward_depth_law.text
        return f"the forward has no chain over T that could be reversed ({law} operations)"
    if grows_with_length(depth.backward_depth_law) is False:
        law = depth.backward_depth_law.text
        return f"the chain of the backward pass does not grow with T: {law} operations"
    return None


def _cut_gradient(influence: Influence) -> str | None:
    """Say where the gradient of the last output ends; None where it reaches t = 0, or not tried."""
    reached = influence.gradient_reaches
    if reached is None or 0 in reached:
        return None
    last = influence.timesteps - 1
    return f"the gradient of output t = {last} ends at t = {min(reached, default=last)}"


def _gradients(influence: Influence) -> str:
    if influence.gradient_reaches is None:
        return f"its reach was not tried: {influence.gradient_reason or influence.reason}"
    return f"the gradient of output t = {influence.timesteps - 1} reaches t = 0"


def _latencies(run: Summary | None) -> tuple[Figure, ...]:
    if run is None or not run.loops:
        return ()
    first, last = run.loops[0], run.loops[-1]
    return tuple(
        Figure(name=f"latency of a timestep, {loop.phase} ({loop.clock})", estimate=loop.p50)
        for loop in run.loops
        if loop.clock == last.clock and loop.loop == first.loop
    )
