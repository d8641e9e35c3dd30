"""How the argument about recurrence is put to the test.

::

    workers start | graphs of operations, effects of single inputs | all points warm | A with marks
                  | one step's timesteps by the clock | rounds of all points, products between them
    |<------------------------------------ --budget ------------------------------------------->|

Graphs and effects are not timed, so they are found while the workers import torch. From then on
one process works at a time. Points are warm, and their rounds' time is set aside, before A's marked
steps take what is left.
"""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from seqprof.analysis.explain.facts import Cascade, ExplainFacts, Subjected
from seqprof.errors import EndedError, SeqprofError
from seqprof.instruments.clocks import NS
from seqprof.measure.device import choose_device
from seqprof.measure.explain.cascade import time_cascade
from seqprof.measure.explain.graphs import look_into
from seqprof.measure.explain.plan import (
    GRAPHS_UNTIL,
    JUDGING_S,
    MARKED_SHARE,
    WARM_UNTIL,
    ExplainPlan,
    entries_of,
    leave_out,
    rounds_cost_s,
)
from seqprof.measure.explain.reference import Reference
from seqprof.measure.outcome import Progress
from seqprof.measure.run import RunConductor
from seqprof.measure.scale import measure_points, prepare_points
from seqprof.measure.trial.kernel_latency import assume
from seqprof.measure.workers.field import Field
from seqprof.recording import Recording
from seqprof.spec import Spec
from seqprof.workloads.build import build

#: Below this nothing is marked: building and warming up alone take about as long.
_LEAST_MARKED_S = 1.0
#: Of the time for the marked steps: the pairs alone.
_PAIRS_SHARE = 0.6
_SPENT = "the budget was spent before it"
_ENDED = "ended before it"


class Conductor:
    """Collects the facts, stage by stage; what a stage cannot bring has a reason in its place."""

    def __init__(self, plan: ExplainPlan, command: str, progress: Progress, field: Field) -> None:
        self._plan, self._command = plan, command
        self._progress, self._field = progress, field
        spec = plan.contenders[0].spec
        self._device = choose_device(spec.measure.device)
        if isinstance(spec.measure.threads, int):  # as the workers do, for the matrix product
            torch.set_num_threads(spec.measure.threads)
        self._budget_s = plan.budget_s - (field.origin_ns - plan.began_ns) * NS - JUDGING_S
        self._candidates = [
            Subjected(label=contender.label, depth_reason=_ENDED) for contender in plan.contenders
        ]
        self._assumptions = assume()
        self._reference = Reference(self._device, spec.train.precision, lambda: field.now_s)
        self._cascade = Cascade(reason=_ENDED)
        self._run: Recording | None = None
        self._run_reason: str | None = _ENDED
        self._grid_reason: str | None = None
        self._ended: str | None = None

    def measure(self) -> None:
        """Run all stages.

        Raises:
            SeqprofError: a candidate cannot be built.
            KeyboardInterrupt: the user, or a scheduler by its signal, wants no more.
        """
        self._look_into_all()
        self._progress.stage("starting the candidates", None)
        self._field.wait_until_ready()
        self._field.entries, reason = entries_of(self._plan)
        self._grid_reason = reason or None
        prepare_points(self._field, WARM_UNTIL * self._budget_s, self._progress)
        leave_out(self._field.entries, self._left_s)
        self._measure_marked(self._left_s - rounds_cost_s(self._field.entries))
        self._reference.start()
        measure_points(self._field, self._budget_s, self._progress, between=self._reference.take)
        self._reference.take()

    @property
    def _left_s(self) -> float:
        return self._budget_s - self._field.now_s

    def interrupt(self, end: KeyboardInterrupt) -> None:
        """Note what ended the session early; what was measured is kept."""
        self._field.interrupt(end)
        self._ended = str(end) or "Ctrl-C"

    # Without a clock -----------------------------------------------------------------------

    def _look_into_all(self) -> None:
        plan = self._plan
        for contender in plan.contenders:
            try:
                build(contender.spec, contender.folder)
            except SeqprofError as error:
                message = f"{contender.label}: {error.message}"
                raise SeqprofError(message, error.hint, error.exit_code) from error
        for index, (contender, word) in enumerate(zip(plan.contenders, plan.words, strict=True)):
            if index and self._field.now_s > GRAPHS_UNTIL * self._budget_s:
                self._candidates[index] = Subjected(label=contender.label, depth_reason=_SPENT)
                continue
            self._progress.stage(f"recording the operations of {contender.label}", None)
            overrides = None if plan.based else plan.overrides
            self._candidates[index] = look_into(contender, word, self._assumptions, overrides)

    # By the clock --------------------------------------------------------------------------

    def _measure_marked(self, free_s: float) -> None:
        """Run the first candidate with marks, as `run` does, in the time that nothing else needs.

        Raises:
            KeyboardInterrupt: that ended it; what was measured is kept.
        """
        for_it_s = min(free_s, MARKED_SHARE * self._budget_s)
        if for_it_s < _LEAST_MARKED_S:
            self._run_reason = _SPENT
            self._cascade = Cascade(reason=_SPENT)
            return
        spec, folder = self._marked_spec(for_it_s), self._plan.marked.folder
        try:
            conductor = RunConductor(
                spec, folder, self._command, self._progress, None, with_depth=False
            )
            conductor.measure()
            self._run, self._run_reason = conductor.recording(), None
            if self._run is None:
                self._run_reason = conductor.nothing_measured().message
            if conductor.exit_code >= 128:
                raise EndedError(conductor.exit_code - 128)
            self._progress.stage("timing single timesteps", None)
            self._cascade = time_cascade(spec, folder, self._device, self._run)
        except SeqprofError as error:
            self._run_reason = error.message
            self._cascade = Cascade(reason=error.message)

    def _marked_spec(self, for_it_s: float) -> Spec:
        measure = self._plan.marked.spec.measure
        update = {
            "max_s": min(measure.max_s, _PAIRS_SHARE * for_it_s),
            "sweep": False,  # the candidates are measured at several T themselves
        }
        marked = measure.model_copy(update=update)
        return self._plan.marked.spec.model_copy(update={"measure": marked})

    # What came of it -----------------------------------------------------------------------

    def facts(self) -> ExplainFacts:
        """Return all that was measured.

        Raises:
            SeqprofError: nothing was.
        """
        data = self._plan.contenders[0].spec.data
        scaling, reason = self._scaling()
        return ExplainFacts(
            command=self._command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            budget_s=self._plan.budget_s,
            base=(data.seq_len, data.batch_size),
            candidates=tuple(self._candidates),
            assumptions=self._assumptions,
            reachable=self._reference.reachable(),
            cascade=self._cascade,
            scaling=scaling,
            scaling_reason=reason,
            run=self._run,
            run_reason=self._run_reason,
            grid_reason=self._grid_reason,
            ended=self._ended,
        )

    def _scaling(self) -> tuple[Recording | None, str | None]:
        nothing_else = self._run is None and all(one.depth is None for one in self._candidates)
        if not self._field.entries:
            if nothing_else:
                message = "ended before anything was measured"
                raise SeqprofError(message, exit_code=self._field.exit_code)
            return None, _ENDED
        try:
            return self._field.recording("scale", self._command), None
        except SeqprofError as error:
            if nothing_else or not self._ended:
                raise
            return None, error.message
