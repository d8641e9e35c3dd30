"""Points of several candidates, each candidate in a worker: what `compare` and `scale` share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal

from seqprof.analysis.host_load import join_loads
from seqprof.errors import EXIT_CANNOT_MEASURE, EXIT_INTERRUPTED, SeqprofError
from seqprof.measure.answers import Dwelt, Failure, Prepared, Visit
from seqprof.measure.candidates import Contender
from seqprof.measure.remote import WorkerDiedError, WorkerGroup
from seqprof.recording import (
    Candidate,
    DepthLaw,
    DeviceSamples,
    Dwell,
    HostLoad,
    Incident,
    PrefixPoint,
    Recording,
    Step,
    Trial,
    Workload,
)
from seqprof.spec import Spec

if TYPE_CHECKING:
    from seqprof.measure.dwell import DwellPhase

_NS = 1e-9
#: A visit takes steps for about this long, but no more steps than this.
VISIT_S, MOST_STEPS = 0.05, 10
#: A sweep is cut short after this.
SWEEP_S = 2.0
#: What was never timed (imports, a compilation, the first steps) is waited for so long …
FIRST_PATIENCE_S = 600.0
#: … and what is known to take t, for this many times t, but no less than so long.
PATIENCE, LEAST_PATIENCE_S = 30.0, 60.0


@dataclass(slots=True)
class Entry:
    """One candidate at one length and batch size, and what was measured of it so far."""

    contender: int
    label: str
    spec: Spec
    prepared: Prepared | None = None
    prepare_s: float = math.inf
    steps: list[Step] = field(default_factory=list)
    warmup_wall_s: list[float] = field(default_factory=list)
    cpu_clock: Literal["threads", "process"] = "threads"
    sweep: tuple[PrefixPoint, ...] = ()
    sweep_reason: str | None = "not taken"
    dwells: tuple[Dwell, ...] = ()
    samples: DeviceSamples = field(default_factory=DeviceSamples)
    depth: DepthLaw | None = None
    loads: list[HostLoad] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    failed: bool = False
    workload: Workload | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Timesteps and batch size."""
        return self.spec.data.seq_len, self.spec.data.batch_size

    @property
    def ready(self) -> bool:
        """Whether steps can be taken of it."""
        return self.prepared is not None and not self.failed

    @property
    def on_accelerator(self) -> bool:
        """Whether it runs on one, as far as is known."""
        return self.prepared is not None and self.prepared.environment.device.is_accelerator

    @property
    def typical_s(self) -> float:
        """What a step takes, as far as is known."""
        if self.prepared is None:
            return math.inf
        return min(self.prepared.warmup_wall_s)

    @property
    def steps_per_visit(self) -> int:
        """Steps of one round."""
        return max(1, min(MOST_STEPS, math.ceil(VISIT_S / self.typical_s)))

    def fail(self, failure: Failure) -> None:
        """Take no more steps of it, and say why."""
        self.skip(failure.kind, failure.detail)

    def skip(self, kind: str, detail: str) -> None:
        """Take no step of it, and say why."""
        self.failed = True
        self.incidents.append(Incident(kind=kind, detail=detail))


class Field:
    """All entries and the workers that measure them; one works at a time.

    Use as a context manager: leaving it ends the workers.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.origin_ns = perf_counter_ns()
        self.contenders = list(contenders)
        self._groups = [WorkerGroup([c.folder for c in contenders], self.origin_ns)]
        self.workers = list(self._groups[0].workers)
        self.entries: list[Entry] = []
        self.interrupted = False

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
                worker.await_ready(FIRST_PATIENCE_S)
            except WorkerDiedError as death:
                raise SeqprofError(
                    f"the process of {contender.label} did not start: {death}",
                    exit_code=EXIT_CANNOT_MEASURE,
                ) from death

    def describe(self, contender: int, spec: Spec) -> Workload | Failure:
        """Build a model and its data only to say what they are."""
        try:
            answer: Workload | Failure = self._call(contender, FIRST_PATIENCE_S, "describe", spec)
        except WorkerDiedError as death:
            self._replace_worker(contender)
            return Failure(death.kind, str(death))
        return answer

    def prepare(self, entry: Entry) -> None:
        """Build, warm up and count; a point that does not fit into memory is a result.

        Raises:
            SeqprofError: the spec asks for what does not exist or does not fit together.
        """
        spec, began_s = entry.spec, self.now_s
        patience = FIRST_PATIENCE_S + spec.train.compile_timeout_s
        answer = self._ask(entry, patience, "prepare", entry.key, spec)
        if isinstance(answer, Failure):
            entry.fail(answer)
            described = answer.workload or self.describe(entry.contender, spec)
            entry.workload = described if isinstance(described, Workload) else None
            return
        assert isinstance(answer, Prepared)
        entry.prepare_s = self.now_s - began_s
        entry.prepared, entry.workload = answer, answer.workload
        entry.warmup_wall_s += answer.warmup_wall_s
        entry.incidents += answer.incidents

    def _call(self, contender: int, within_s: float, method: str, *arguments: Any) -> Any:
        try:
            return self.workers[contender].call(within_s, method, *arguments)
        except SeqprofError as error:
            if len(self.contenders) == 1:
                raise
            label = self.contenders[contender].label
            raise SeqprofError(f"{label}: {error.message}", error.hint, error.exit_code) from error

    def _ask(self, entry: Entry, within_s: float, method: str, *arguments: Any) -> Any:
        """Return the answer of an entry's worker; of one that dies, a failure, and replace it."""
        try:
            return self._call(entry.contender, within_s, method, *arguments)
        except WorkerDiedError as death:
            entry.failed = True  # the next worker must not die of it too
            self._replace_worker(entry.contender)
            return Failure(death.kind, str(death))

    def _replace_worker(self, contender: int) -> None:
        """Go on after a death. The new one is of a group of its own."""
        group = WorkerGroup([self.contenders[contender].folder], self.origin_ns)
        self._groups.append(group)
        self.workers[contender] = group.workers[0]
        with suppress(WorkerDiedError):  # then each call finds it dead, and says so
            self.workers[contender].await_ready(FIRST_PATIENCE_S)
        for entry in self.entries:
            if entry.contender == contender and entry.ready:
                self.prepare(entry)

    def visit(self, entry: Entry, round_: int) -> None:
        """Take one round's steps of an entry."""
        steps = entry.steps_per_visit
        patience = _patience_s((steps + 1) * entry.typical_s)
        answer = self._measure(entry, patience, "visit", entry.key, round_, steps)
        if isinstance(answer, Visit):
            entry.steps += answer.steps
            entry.warmup_wall_s += answer.settling_s
            if answer.cpu_clock == "process":  # one coarse round makes them all as coarse
                entry.cpu_clock = "process"
            entry.loads.append(answer.host)
            entry.incidents += answer.incidents
        else:
            entry.fail(answer)

    def _measure(self, entry: Entry, within_s: float, method: str, *arguments: Any) -> Any:
        """As :meth:`_ask`, but in the middle of measuring no error ends it all."""
        try:
            return self._ask(entry, within_s, method, *arguments)
        except SeqprofError as error:
            return Failure("step_failed", error.message)

    def take_sweep(self, entry: Entry) -> None:
        """Take prefixes of the sequences, for the marginal cost."""
        patience = _patience_s(SWEEP_S + entry.typical_s)
        answer = self._measure(entry, patience, "sweep", entry.key, SWEEP_S)
        if isinstance(answer, Failure):
            entry.incidents.append(Incident(kind="sweep_failed", detail=answer.detail))
            entry.sweep_reason = answer.detail
        else:
            entry.sweep, entry.sweep_reason = answer, None

    def take_dwells(self, entry: Entry, phases: Sequence[DwellPhase]) -> None:
        """Repeat phases alone for NVML; nothing without an accelerator."""
        patience = _patience_s(len(phases) * entry.spec.measure.dwell_s)
        answer = self._measure(entry, patience, "dwell", entry.key, phases)
        if isinstance(answer, Dwelt):
            entry.dwells, entry.samples = answer.dwells, answer.samples
            entry.incidents += answer.incidents
        else:
            entry.incidents.append(Incident(kind="dwell_failed", detail=answer.detail))

    def take_depths(self) -> None:
        """Let all workers derive the sequential depth at once: nothing is timed any more."""
        ready: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.ready:
                ready.setdefault(entry.contender, []).append(entry)
        for contender, entries in ready.items():
            self.workers[contender].start("depths", [entry.key for entry in entries])
        for contender, entries in ready.items():
            try:
                answer = self.workers[contender].finish(FIRST_PATIENCE_S)
            except (WorkerDiedError, SeqprofError) as error:
                answer = Failure("step_failed", str(error))
            for index, entry in enumerate(entries):
                if isinstance(answer, Failure):
                    entry.depth = _no_depth(entry, answer.detail)
                else:
                    entry.depth = answer[index]

    def interrupt(self) -> None:
        """Note that the user wanted no more."""
        self.interrupted = True
        for entry in self.entries:
            entry.incidents.append(Incident(kind="interrupted", detail="Ctrl-C", at_s=self.now_s))

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C; 1 when no candidate could be measured."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return 0 if any(entry.steps for entry in self.entries) else EXIT_CANNOT_MEASURE

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
        prepared = next((entry.prepared for entry in self.entries if entry.prepared), None)
        if self.interrupted and not any(entry.steps for entry in self.entries):
            raise SeqprofError(
                "interrupted before anything was measured", exit_code=EXIT_INTERRUPTED
            )
        if prepared is None:
            raise SeqprofError(
                "not a single step was measured: "
                + "; ".join(f"{e.label}: {i.detail}" for e in self.entries for i in e.incidents),
                exit_code=EXIT_CANNOT_MEASURE,
            )
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
            candidates=tuple(map(_candidate, self.entries)),
            baseline=baseline,
            matched=matched,
        )

    def _trial(self, entry: Entry) -> Trial:
        prepared = entry.prepared
        return Trial(
            workload=entry.workload or self._unbuilt(entry),
            warmup_wall_s=tuple(entry.warmup_wall_s),
            steps=tuple(entry.steps),
            clock_origin_ns=self.origin_ns,
            cpu_clock=entry.cpu_clock,
            timesteps_reason="`seqprof run` times timesteps; this was measured in bare steps",
            accounts=prepared.accounts if prepared else (),
            sweep=entry.sweep,
            sweep_reason=entry.sweep_reason,
            dwells=entry.dwells,
            samples=entry.samples,
            host=join_loads(entry.loads),
            depth=entry.depth or _no_depth(entry, _why_not_taken(entry)),
            incidents=tuple(entry.incidents),
        )

    def _unbuilt(self, entry: Entry) -> Workload:
        """Describe a point that failed before it was built, after another of the same model."""
        for other in self.entries:
            if other.contender == entry.contender and other.workload is not None:
                timesteps, batch_size = entry.key
                return replace(
                    other.workload,
                    timesteps=timesteps,
                    batch_size=batch_size,
                    flops_per_step=None,
                    flops_reason="it was not built at this size",
                )
        raise SeqprofError(
            f"{entry.label} could not be measured: {entry.incidents[0].detail}",
            exit_code=EXIT_CANNOT_MEASURE,
        )


def _patience_s(expected_s: float) -> float:
    """Return how long an answer is waited for; a busy machine may be many times slower."""
    return max(LEAST_PATIENCE_S, PATIENCE * expected_s)


def _no_depth(entry: Entry, reason: str) -> DepthLaw:
    timesteps = entry.workload.timesteps if entry.workload else entry.key[0]
    return DepthLaw(timesteps=timesteps, reason=reason)


def _why_not_taken(entry: Entry) -> str:
    return entry.incidents[0].detail if entry.failed else "the measuring ended before it"


def _candidate(entry: Entry) -> Candidate:
    prepared = entry.prepared
    return Candidate(
        label=entry.label,
        spec=entry.spec.model_dump(mode="json"),
        operations=prepared.operations if prepared else (),
        unflattened=prepared.unflattened if prepared else (),
        threads=prepared.environment.threads if prepared else None,
    )
