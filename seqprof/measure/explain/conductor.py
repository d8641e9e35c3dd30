"""How the argument about recurrence is put to the test.

::

    workers start | graphs of operations, effects of single inputs | all points warm | A with marks
                  | one step's timesteps by the clock | rounds of all points, products between them
    |<------------------------------------ --budget ------------------------------------------->|

Graphs and effects are not timed, so they are found while the workers import torch. From then on
one process works at a time. Points are warm, and their rounds' time is set aside, before A's marked
steps take what is left.

A user's model runs in workers and in children of this process, never in it: a model that ends its
process costs the claims that rest on what it was at. Without torch until no child is forked any
more; it is imported beside the last child's import of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from seqprof.analysis.depth.model_depth import Assumptions
from seqprof.analysis.explain.facts import Cascade, ExplainFacts, Reachable
from seqprof.errors import EXIT_BAD_INPUT, EXIT_CANNOT_MEASURE, EndedError, SeqprofError
from seqprof.measure.aside import Teller, do_aside
from seqprof.measure.explain.looking import Looking
from seqprof.measure.explain.parts import Marked
from seqprof.measure.explain.plan import (
    JUDGING_S,
    LEAST_PATIENCE_S,
    MARKED_END,
    MARKED_LEAST,
    MARKED_SHARE,
    PATIENCE_IN_IMPORTS,
    QUICK,
    ROUNDS_END,
    SPENT,
    WARM_UNTIL,
    ExplainPlan,
    entries_of,
    leave_out,
    rounds_cost_s,
)
from seqprof.measure.faults import Failure
from seqprof.measure.machine import usable_cores
from seqprof.measure.outcome import Progress
from seqprof.measure.scale import FIRST_ROUNDS, QUICK_S, measure_points, prepare_points
from seqprof.measure.workers.field import Field
from seqprof.recording import Recording
from seqprof.samplers.host import load_average
from seqprof.spec import Spec

if TYPE_CHECKING:
    from seqprof.measure.explain.reference import Reference

#: Below this nothing is marked: building and warming up alone take about as long.
_LEAST_MARKED_S = 1.0
#: Of the time for the marked steps: the pairs alone; on an accelerator steps are profiled, too.
_PAIRS_SHARE, _PAIRS_SHARE_THERE = 0.6, 0.4
_ENDED = "ended before it"
_NS = 1e-9


class Conductor:
    """Collects the facts, stage by stage; what a stage cannot bring has a reason in its place."""

    def __init__(self, plan: ExplainPlan, command: str, progress: Progress, field: Field) -> None:
        self._plan, self._command = plan, command
        self._progress, self._field = progress, field
        self._budget_s = plan.budget_s - (field.origin_ns - plan.began_ns) * _NS - JUDGING_S
        self._looking = Looking(plan, self._budget_s, lambda: field.now_s, _ENDED)
        self._reference: Reference | None = None
        self._cascade = Cascade(reason=_ENDED)
        self._run: Recording | None = None
        self._run_reason: str | None = _ENDED
        self._grid_reason: str | None = None
        self._not_started: str | None = None
        self._ended: str | None = None

    def measure(self) -> None:
        """Run all stages.

        Raises:
            SeqprofError: a candidate cannot be built.
            KeyboardInterrupt: the user, or a scheduler by its signal, wants no more.
        """
        self._looking.look_into_all(self._progress)
        self._progress.stage("starting the candidates", None)
        try:
            self._field.wait_until_ready()
        except SeqprofError as error:
            self._not_started = self._run_reason = error.message
            self._cascade = Cascade(reason=error.message)
            return
        self._field.entries, reason = entries_of(self._plan)
        self._grid_reason = reason or None
        self._warm_up()
        marked_s = self._looking.import_s + MARKED_LEAST * self._budget_s
        leave_out(self._field.entries, self._left_s - marked_s)
        self._measure_marked(
            self._left_s - rounds_cost_s(self._field.entries) - self._looking.import_s
        )
        if not any(entry.ready for entry in self._field.entries):
            return
        reference = self._reference = self._start_reference()
        measure_points(
            self._field,
            self._budget_s,
            self._progress,
            between=reference.take,
            least_rounds=FIRST_ROUNDS,
            end_s=ROUNDS_END * self._budget_s,
        )
        reference.take()

    def _warm_up(self) -> None:
        """Warm up all points; those of a model that hung before come last, if there is time."""
        until_s = WARM_UNTIL * self._budget_s
        quick_s = min(QUICK_S, QUICK * self._budget_s)
        entries, hung = self._field.entries, self._looking.hung
        sound = [entry for entry in entries if entry.contender not in hung]
        rest = [entry for entry in entries if entry.contender in hung]
        imports_s = PATIENCE_IN_IMPORTS * self._looking.import_s
        self._field.patience_s = max(self._field.patience_s, imports_s)
        prepare_points(self._field, until_s, self._progress, quick_s, sound)
        if not rest:
            return
        left_s = until_s - self._field.now_s
        self._field.patience_s = max(LEAST_PATIENCE_S, left_s, imports_s)
        for entry in rest:
            if entry.contender in self._looking.unbuilt or left_s < 0.0:
                entry.draft.fail(Failure("hung", hung[entry.contender]))
        prepare_points(self._field, until_s, self._progress, quick_s, rest)

    def _start_reference(self) -> Reference:
        """Warm up the matrix product; no child is forked any more, so torch may be imported."""
        import torch

        from seqprof.measure.device import choose_device
        from seqprof.measure.explain.reference import Reference

        spec = self._plan.contenders[0].spec
        if isinstance(spec.measure.threads, int):  # as the workers do
            torch.set_num_threads(spec.measure.threads)
        device = choose_device(spec.measure.device)
        reference = Reference(device, spec.train.precision, lambda: self._field.now_s)
        reference.start()
        return reference

    @property
    def _left_s(self) -> float:
        return self._budget_s - self._field.now_s

    def interrupt(self, end: KeyboardInterrupt) -> None:
        """Note what ended the session early; what was measured is kept."""
        self._field.interrupt(end)
        self._ended = str(end) or "Ctrl-C"

    # By the clock --------------------------------------------------------------------------

    def _measure_marked(self, free_s: float) -> None:
        """Run the first candidate with marks, as `run` does, in the time that nothing else needs.

        Raises:
            KeyboardInterrupt: that ended it; what was measured is kept.
        """
        failed = self._why_not_trained()
        if failed is not None:
            self._run_reason, self._cascade = failed, Cascade(reason=failed)
            return
        for_it_s = min(free_s, MARKED_SHARE * self._budget_s)
        if for_it_s < _LEAST_MARKED_S:
            self._run_reason = SPENT
            self._cascade = Cascade(reason=SPENT)
            return
        spec, folder = self._marked_spec(for_it_s), self._plan.marked.folder

        def measure(tell: Teller) -> Marked:
            from seqprof.measure.explain.inside import measure_marked  # imports torch

            return measure_marked(spec, folder, self._command, tell)

        within_s = self._looking.least_s + MARKED_END * for_it_s
        # The child imports torch now; this process, which forks no other, does so beside it.
        aside = do_aside(
            measure,
            self._progress,
            within_s,
            self._take_marked,
            meanwhile=partial(import_module, "torch"),
        )
        if aside.reason is not None:
            if self._run is None:
                self._run = aside.offered
                self._run_reason = None if aside.offered else aside.reason
            self._cascade = Cascade(reason=aside.reason)
        else:
            self._take_marked(aside.value)
        ended = aside.ended or (aside.value.ended if aside.value is not None else 0)
        if ended:
            raise EndedError(ended)

    def _why_not_trained(self) -> str | None:
        """Say why no point of the first candidate is ready; None where one is, or was not tried."""
        own = [entry for entry in self._field.entries if entry.contender == 0]
        failures = [entry.draft.failure for entry in own if entry.draft.failure is not None]
        tried = [failure.detail for failure in failures if failure.kind != "budget_spent"]
        return tried[0] if tried and not any(entry.ready for entry in own) else None

    def _take_marked(self, marked: Marked) -> None:
        self._run, self._run_reason, self._cascade = marked.run, marked.reason, marked.cascade

    def _marked_spec(self, for_it_s: float) -> Spec:
        measure = self._plan.marked.spec.measure
        there = any(entry.on_accelerator for entry in self._field.entries)
        share = _PAIRS_SHARE_THERE if there else _PAIRS_SHARE
        update = {
            "max_s": min(measure.max_s, share * for_it_s),
            "sweep": False,  # the candidates are measured at several T themselves
        }
        marked = measure.model_copy(update=update)
        return self._plan.marked.spec.model_copy(update={"measure": marked})

    # What came of it -----------------------------------------------------------------------

    @property
    def exit_code(self) -> int:
        """That of the field, which does not know that its workers never came."""
        return self._field.exit_code or (EXIT_CANNOT_MEASURE if self._not_started else 0)

    def facts(self) -> ExplainFacts:
        """Return all that was measured.

        Raises:
            SeqprofError: nothing was.
        """
        scaling, reason = self._scaling()
        return ExplainFacts(
            command=self._command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            budget_s=self._plan.budget_s,
            base=self._base(),
            candidates=tuple(self._looking.candidates),
            assumptions=self._looking.assumptions or _assume(),
            reachable=self._reachable(),
            cascade=self._cascade,
            scaling=scaling,
            scaling_reason=reason,
            run=self._run,
            run_reason=self._run_reason,
            grid_reason=self._grid_reason,
            ended=self._ended,
            load_average_1m=load_average(),
            cores=usable_cores(),
        )

    def _base(self) -> tuple[int, int]:
        """T and B that the claims are about: of the user's data those that it was measured at."""
        data = self._plan.contenders[0].spec.data
        if data.target is not None and self._run is not None and self._run.trials:
            return self._run.trials[0].workload.sizes
        return data.seq_len, data.batch_size

    def _reachable(self) -> Reachable:
        if self._reference is not None:
            return self._reference.reachable()
        precision = self._plan.contenders[0].spec.train.precision
        return Reachable(size=0, precision=precision, reason=_ENDED)

    def _scaling(self) -> tuple[Recording | None, str | None]:
        nothing_else = self._run is None and all(
            one.depth is None for one in self._looking.candidates
        )
        if not self._field.entries:
            if nothing_else:
                message = "ended before anything was measured"
                raise SeqprofError(message, exit_code=self._field.exit_code)
            return None, self._not_started or _ENDED
        try:
            return self._field.recording("scale", self._command), None
        except SeqprofError as error:
            if nothing_else or (error.exit_code == EXIT_BAD_INPUT and not self._ended):
                raise
            failures = [entry.draft.failure for entry in self._field.entries]
            spent = all(f is not None and f.kind == "budget_spent" for f in failures)
            return None, SPENT if spent else error.message


def _assume() -> Assumptions:
    from seqprof.measure.trial.kernel_latency import assume  # imports torch

    return assume()
