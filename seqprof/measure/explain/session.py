"""The whole of `seqprof explain`: workers first, so that they import torch while this one does."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from seqprof.analysis.explain.facts import ExplainFacts
from seqprof.measure.explain.conductor import Conductor
from seqprof.measure.explain.plan import (
    LEAST_PATIENCE_S,
    LEAST_STARTING_S,
    PATIENCE,
    ExplainPlan,
)
from seqprof.measure.outcome import Progress
from seqprof.measure.workers.field import Field

#: Each costs the time in which a worker imports torch.
_MOST_DEATHS = 2


def measure_explanation(
    plan: ExplainPlan, command: str, progress: Progress
) -> tuple[ExplainFacts, int]:
    """Measure all that the claims are about; returns it with the exit code.

    What a model prints goes to stderr: stdout is for the report.

    Raises:
        SeqprofError: a candidate cannot be built, or nothing could be measured of any.
    """
    patience_s = max(LEAST_PATIENCE_S, PATIENCE * plan.budget_s)
    starting_s = max(LEAST_STARTING_S, plan.budget_s)
    field = Field(
        plan.contenders,
        patience_s=patience_s,
        starting_s=starting_s,
        most_deaths=_MOST_DEATHS,
    )
    with field, redirect_stdout(sys.stderr):
        conductor = Conductor(plan, command, progress, field)
        try:
            conductor.measure()
        except KeyboardInterrupt as end:
            conductor.interrupt(end)
        return conductor.facts(), conductor.exit_code
