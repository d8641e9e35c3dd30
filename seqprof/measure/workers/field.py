"""Points of several candidates, each candidate in a worker: what `compare` and `scale` share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Literal

from seqprof.errors import (
    EXIT_BAD_INPUT,
    EXIT_CANNOT_MEASURE,
    EXIT_INTERRUPTED,
    SeqprofError,
    exit_code_of,
)
from seqprof.measure.candidates import Contender
from seqprof.measure.faults import Failure
from seqprof.measure.outcome import compiling_s, longest_first_step_s
from seqprof.measure.workers.entry import Entry
from seqprof.measure.workers.messages import (
    Answer,
    DeriveDepths,
    Describe,
    DwellPhase,
    Prepare,
    Request,
    TakeDwells,
    TakeSteps,
    TakeSweep,
    TakeTimesteps,
)
from seqprof.measure.workers.remote import Pending, WorkerDiedError, WorkerGroup
from seqprof.measure.workers.unbuilt import as_specified, candidate_of
from seqprof.recording import DepthLaw, Recording, Trial, Workload
from seqprof.spec import Spec

_NS = 1e-9
#: A sweep is cut short after this.
SWEEP_S = 2.0
#: What was never timed (imports, a compilation, the first steps) is waited for so long …
FIRST_PATIENCE_S = 600.0
#: … and what is known to take t, for this many times t, but no less than so long.
PATIENCE, LEAST_PATIENCE_S = 30.0, 60.0
NO_TIMESTEPS = "not asked for: `--timesteps` times them"


class Field:
    """All entries and the workers that measure them; one works at a time.

    Use as a context manager: leaving it ends the workers.

    Args:
        contenders: the candidates.
        timesteps: whether each timestep is timed too.
        patience_s, starting_s: how long what was never timed, and imports, are waited for.
        most_deaths: a candidate that ends so many workers, or one before any of its points is
            ready, is measured no further; None for any number.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        timesteps: bool = False,
        *,
        patience_s: float = FIRST_PATIENCE_S,
        starting_s: float = FIRST_PATIENCE_S,
        most_deaths: int | None = None,
    ) -> None:
        self.origin_ns = perf_counter_ns()
        self.contenders = list(contenders)
        self.entries: list[Entry] = []
        self.interrupted = False
        self._exit_code = EXIT_INTERRUPTED
        self._timesteps = timesteps
        self.patience_s, self._starting_s, self._most_deaths = patience_s, starting_s, most_deaths
        self._deaths = [0] * len(contenders)
        self._groups = [WorkerGroup([c.folder for c in contenders], self.origin_ns)]
        self.workers = list(self._groups[0].workers)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        for group in self._groups:
            group.close()

    @property
    def now_s(self) -> float:
        """Seconds since the workers were started."""
        return (perf_counter_ns() - self.origin_ns) * _NS

    def wait_until_ready(self) -> None:
        """Wait for all imports: a process that still imports would hold up another's steps."""
        for worker, contender in zip(self.workers, self.contenders, strict=True):
            try:
                worker.await_ready(self._starting_s)
            except WorkerDiedError as death:
                raise SeqprofError(
                    f"the process of {contender.label} did not start: {death}",
                    exit_code=EXIT_CANNOT_MEASURE,
                ) from death

    # Asking --------------------------------------------------------------------------------

    def describe(self, contender: int, spec: Spec) -> Workload | Failure:
        """Build a model and its data only to say what they are."""
        try:
            return self._call(contender, self.patience_s, Describe(spec))
        except WorkerDiedError as death:
            self._replace_worker(contender)
            return Failure(death.kind, str(death))

    def prepare(self, entry: Entry) -> None:
        """Build, warm up and count; whatever goes wrong in it is a result of this entry."""
        if entry.draft.failure is not None:
            return
        spec, began_s = entry.spec, self.now_s
        patience = min(self.patience_s + compiling_s(spec), longest_first_step_s(spec))
        answer = self._ask(entry, patience, Prepare(entry.key, spec, self._timesteps))
        if isinstance(answer, Failure):
            entry.draft.fail(answer, self.now_s)
            entry.draft.workload = answer.workload or self._described(entry)
            return
        entry.prepare_s = self.now_s - began_s
        entry.draft.add_prepared(answer)
        if not self._timesteps:
            entry.draft.timesteps = replace(entry.draft.timesteps, reason=NO_TIMESTEPS)

    def _described(self, entry: Entry) -> Workload | None:
        """Say what it is where it can be built, if not trained."""
        if self._given_up(entry.contender):
            return None
        with suppress(SeqprofError):
            workload = self.describe(entry.contender, entry.spec)
            return workload if isinstance(workload, Workload) else None
        return None

    def _call(self, contender: int, within_s: float, request: Request[Answer]) -> Answer | Failure:
        try:
            return self.workers[contender].ask(within_s, request)
        except SeqprofError as error:
            if len(self.contenders) == 1:
                raise
            label = self.contenders[contender].label
            raise SeqprofError(f"{label}: {error.message}", error.hint, error.exit_code) from error

    def _ask(self, entry: Entry, within_s: float, request: Request[Answer]) -> Answer | Failure:
        """Return the answer of an entry's worker; of one that dies, a failure, and replace it."""
        try:
            return self.workers[entry.contender].ask(within_s, request)
        except SeqprofError as error:
            return Failure("not_built", error.message, error.hint)
        except WorkerDiedError as death:
            failure = Failure(death.kind, str(death))
            entry.draft.failure = failure  # the next worker must not die of it too
            self._note_death(entry, failure)
            if not self._given_up(entry.contender):
                self._replace_worker(entry.contender)
            return failure

    def _note_death(self, entry: Entry, failure: Failure) -> None:
        if self._most_deaths is None:
            return
        self._deaths[entry.contender] += 1
        own = [other for other in self.entries if other.contender == entry.contender]
        if self._deaths[entry.contender] < self._most_deaths and any(o.ready for o in own):
            return
        for other in own:
            if other.draft.failure is None:
                given_up = Failure(failure.kind, f"given up: {failure.detail}")
                other.draft.fail(given_up, self.now_s)

    def _given_up(self, contender: int) -> bool:
        own = [entry for entry in self.entries if entry.contender == contender]
        return self._most_deaths is not None and all(e.draft.failure for e in own)

    def _replace_worker(self, contender: int) -> None:
        """Go on after a death. The new one is of a group of its own."""
        group = WorkerGroup([self.contenders[contender].folder], self.origin_ns)
        self._groups.append(group)
        self.workers[contender] = group.workers[0]
        with suppress(WorkerDiedError):  # then each call finds it dead, and says so
            self.workers[contender].await_ready(self._starting_s)
        for entry in self.entries:
            if entry.contender == contender and entry.ready:
                self.prepare(entry)

    # Measuring -----------------------------------------------------------------------------

    def visit(self, entry: Entry, round_: int) -> None:
        """Take one round's steps of an entry."""
        steps = entry.steps_per_visit
        patience = min(self.patience_s, _patience_s((2 * steps + 4) * entry.typical_s))
        answer = self._ask(entry, patience, TakeSteps(entry.key, round_, steps))
        if isinstance(answer, Failure):
            entry.draft.fail(answer, self.now_s)
        else:
            entry.draft.add_steps(answer)

    def take_timesteps(self, entry: Entry) -> None:
        """Fetch what the marks came to, where timesteps were timed."""
        if not self._timesteps:
            return
        answer = self._ask(entry, LEAST_PATIENCE_S, TakeTimesteps(entry.key))
        if isinstance(answer, Failure):
            entry.draft.timesteps = replace(entry.draft.timesteps, reason=answer.detail)
        else:
            entry.draft.timesteps = answer

    def take_sweep(self, entry: Entry) -> None:
        """Take prefixes of the sequences, for the marginal cost."""
        patience = _patience_s(SWEEP_S + entry.typical_s)
        answer = self._ask(entry, patience, TakeSweep(entry.key, SWEEP_S))
        if isinstance(answer, Failure):
            entry.draft.add_incident("sweep_failed", answer.detail, self.now_s)
            entry.draft.sweep_reason = answer.detail
        else:
            entry.draft.add_sweep(answer)

    def take_dwells(self, entry: Entry, phases: Sequence[DwellPhase]) -> None:
        """Repeat phases alone for NVML; nothing without an accelerator."""
        patience = _patience_s(len(phases) * entry.spec.measure.dwell_s)
        answer = self._ask(entry, patience, TakeDwells(entry.key, phases))
        if isinstance(answer, Failure):
            entry.draft.add_incident("dwell_failed", answer.detail, self.now_s)
        else:
            entry.draft.add_dwells(answer)

    def take_depths(self) -> None:
        """Let all workers derive the sequential depth at once: nothing is timed any more."""
        ready: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.ready:
                ready.setdefault(entry.contender, []).append(entry)
        started = {
            contender: self.workers[contender].start(DeriveDepths([e.key for e in entries]))
            for contender, entries in ready.items()
        }
        for contender, entries in ready.items():
            _take_depths(entries, started[contender])

    def interrupt(self, end: KeyboardInterrupt) -> None:
        """Note that the user, or a scheduler by its signal, wanted no more."""
        self.interrupted = True
        self._exit_code = exit_code_of(end)
        for entry in self.entries:
            entry.draft.add_incident("interrupted", str(end) or "Ctrl-C", self.now_s)

    # What came of it -----------------------------------------------------------------------

    @property
    def exit_code(self) -> int:
        """128 + the signal that ended it; that of the failure of a candidate without any step."""
        if self.interrupted:
            return self._exit_code
        for index in range(len(self.contenders)):
            own = [entry for entry in self.entries if entry.contender == index]
            failures = [
                e.draft.failure
                for e in own
                if e.draft.failure is not None and e.draft.failure.kind != "budget_spent"
            ]
            if own and failures and not any(entry.draft.steps for entry in own):
                short = all(failure.kind == "out_of_memory" for failure in failures)
                if not short or not any(entry.draft.steps for entry in self.entries):
                    return EXIT_CANNOT_MEASURE
        return 0

    def recording(
        self,
        kind: Literal["compare", "scale"],
        command: str,
        baseline: str | None = None,
        matched: Literal["width", "params", "flops"] | None = None,
    ) -> Recording:
        """Return all that was measured.

        Raises:
            SeqprofError: nothing was.
        """
        prepared = next((e.draft.prepared for e in self.entries if e.draft.prepared), None)
        if self.interrupted and not any(entry.draft.steps for entry in self.entries):
            raise SeqprofError(
                "interrupted before anything was measured", exit_code=self._exit_code
            )
        if prepared is None:
            raise self._nothing_measured()
        first = self.entries[0]
        return Recording(
            kind=kind,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            spec=first.spec.model_dump(mode="json"),
            seed=first.spec.train.seed,
            environment=prepared.environment,
            trials=tuple(map(self._trial, self.entries)),
            timer_resolution_s=prepared.timer_resolution_s,
            candidates=tuple(candidate_of(e.label, e.spec, e.draft.prepared) for e in self.entries),
            baseline=baseline,
            matched=matched,
        )

    def _nothing_measured(self) -> SeqprofError:
        """No candidate can be trained: the same for each is said once."""
        failures = [e.draft.failure for e in self.entries if e.draft.failure is not None]
        bad_input = all(failure.exit_code == EXIT_BAD_INPUT for failure in failures)
        return SeqprofError(
            "no candidate can be trained: "
            + "; ".join(dict.fromkeys(entry.words_of_failure for entry in self.entries)),
            next((failure.hint for failure in failures if failure.hint), None),
            EXIT_BAD_INPUT if bad_input else EXIT_CANNOT_MEASURE,
        )

    def _trial(self, entry: Entry) -> Trial:
        made = entry.draft.trial(entry.draft.workload or self._unbuilt(entry))
        return replace(made, clock_origin_ns=self.origin_ns)

    def _unbuilt(self, entry: Entry) -> Workload:
        """Describe a point that was never built: after another of the same model, or its spec."""
        for other in self.entries:
            if other.contender == entry.contender and other.draft.workload is not None:
                timesteps, batch_size = entry.key
                return replace(
                    other.draft.workload,
                    timesteps=timesteps,
                    batch_size=batch_size,
                    flops_per_step=None,
                    flops_reason="it was not built at this size",
                )
        return as_specified(entry.spec)


def _take_depths(entries: Sequence[Entry], pending: Pending[tuple[DepthLaw, ...]]) -> None:
    answer: tuple[DepthLaw, ...] | Failure
    try:
        answer = pending.finish(FIRST_PATIENCE_S)
    except (WorkerDiedError, SeqprofError) as error:
        answer = Failure("step_failed", str(error))
    for index, entry in enumerate(entries):
        if isinstance(answer, Failure):
            work = entry.draft.workload
            timesteps = work.sizes[0] if work else entry.key[0]
            entry.draft.depth = DepthLaw(timesteps=timesteps, reason=answer.detail)
        else:
            entry.draft.depth = answer[index]


def _patience_s(expected_s: float) -> float:
    """Return how long an answer is waited for; a busy machine may be many times slower."""
    return max(LEAST_PATIENCE_S, PATIENCE * expected_s)
