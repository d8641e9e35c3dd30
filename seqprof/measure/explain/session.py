"""The whole of `seqprof explain`: workers first, so that they import torch while this one does."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from seqprof.analysis.explain.facts import ExplainFacts
from seqprof.measure.explain.plan import ExplainPlan
from seqprof.measure.outcome import Progress
from seqprof.measure.workers.field import Field


def measure_explanation(
    plan: ExplainPlan, command: str, progress: Progress
) -> tuple[ExplainFacts, int]:
    """Measure all that the claims are about; returns it with the exit code.

    What a model prints goes to stderr: stdout is for the report.

    Raises:
        SeqprofError: a candidate cannot be built, or nothing could be measured of any.
    """
    with Field(plan.contenders) as field, redirect_stdout(sys.stderr):
        from seqprof.measure.explain.conductor import Conductor  # torch

        conductor = Conductor(plan, command, progress, field)
        try:
            conductor.measure()
        except KeyboardInterrupt as end:
            conductor.interrupt(end)
        return conductor.facts(), field.exit_code
