"""An explanation without measuring: planted facts beside the recordings of the other examples."""

from __future__ import annotations

from dataclasses import replace

from example_recordings import cpu_cell

from seqprof.analysis.depth.model_depth import Assumptions, DepthSummary, ModelDepth, derive
from seqprof.analysis.explain.facts import (
    Cascade,
    Effect,
    ExplainFacts,
    FirstTimesteps,
    Influence,
    Reachable,
    Subjected,
)
from seqprof.analysis.explain.summary import explain
from seqprof.recording import Recording
from seqprof.reports.formats import Result

#: Of the cascade: timesteps, and what one takes, in seconds.
TIMESTEPS, EACH_S = 8, 0.001
#: T of the examples' influence.
LAST = 3


def influence() -> Influence:
    """What a causal model with memory does over four timesteps."""
    return Influence(
        timesteps=LAST + 1,
        effects=tuple(Effect(timestep=t, changed=tuple(range(t, LAST + 1))) for t in (0, 2, LAST)),
        gradient_reaches=tuple(range(LAST + 1)),
    )


def cascade(module: str = "body.timestep") -> Cascade:
    """Timesteps one after the other, then their gradients in reverse order."""
    end = TIMESTEPS * EACH_S
    return Cascade(
        module=module,
        forward_s=tuple((t * EACH_S, (t + 0.9) * EACH_S) for t in range(TIMESTEPS)),
        gradient_s=tuple(end + 2 * EACH_S * (TIMESTEPS - t) for t in range(TIMESTEPS)),
        backward_at_s=end,
        ended_at_s=end + 2 * EACH_S * (TIMESTEPS + 1),
    )


def subjected(label: str, depth: ModelDepth) -> Subjected:
    """A chain of two operations in each timestep."""
    return Subjected(
        label=label,
        depth=replace(depth, recorded=replace(depth.recorded, model=label)),
        first=FirstTimesteps(
            timesteps=2,
            names=("addmm", "tanh", "addmm", "tanh"),
            sources=((), (0,), (1,), (2,)),
        ),
        influence=influence(),
    )


def without_chain(depth: ModelDepth, assumptions: Assumptions) -> ModelDepth:
    """The same model, if all of its timesteps ran at once."""
    shortest = depth.recorded.points[0]
    points = tuple(replace(shortest, timesteps=p.timesteps) for p in depth.recorded.points)
    return derive(replace(depth.recorded, points=points), assumptions)


def explained(scaling: Recording, depths: DepthSummary, name: str = "body.timestep") -> Result:
    """One explanation of the candidates of ``scaling``; ``name`` is called once per timestep.

    Args:
        depths: of one model with a chain; the other candidates have none.
    """
    [chained] = depths.models
    labels = list(dict.fromkeys(candidate.label for candidate in scaling.candidates))
    flat = without_chain(chained, depths.assumptions)
    command = f"seqprof explain {' '.join(labels)}"
    facts = ExplainFacts(
        command=command,
        created="2026-01-01T00:00:00+00:00",
        budget_s=60.0,
        base=(64, 16),
        candidates=tuple(
            subjected(label, flat if index else chained) for index, label in enumerate(labels)
        ),
        assumptions=depths.assumptions,
        reachable=Reachable(size=1024, precision="fp32", seconds=(0.02,) * 7),
        cascade=cascade(name),
        scaling=replace(scaling, command=command),
        run=cpu_cell(),
    )
    return Result(kind="explain", name=command, summary=explain(facts), recording=None)
