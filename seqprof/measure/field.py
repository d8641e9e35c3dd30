"""Points of several candidates, each candidate in a worker: what `compare` and `scale` share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter_ns
from typing import Literal

from seqprof.errors import EXIT_CANNOT_MEASURE, EXIT_INTERRUPTED, SeqprofError
from seqprof.measure.answers import Dwelt, Failure, Prepared, Visit
from seqprof.measure.candidates import Contender
from seqprof.measure.remote import WorkerDiedError, WorkerGroup
from seqprof.recording import (
    Candidate,
    DepthLaw,
    DeviceSamples,
    Dwell,
    Environment,
    Incident,
    PrefixPoint,
    Recording,
    Step,
    Trial,
    Workload,
)
from seqprof.spec import Spec

_NS = 1e-9
#: A visit takes steps for about this long, but no more steps than this.
VISIT_S, MOST_STEPS = 0.05, 10
#: A sweep is cut short after this.
SWEEP_S = 2.0


@dataclass(slots=True)
class Entry:
    """One candidate at one length and batch size, and what was measured of it so far."""

    contender: int
    label: str
    spec: Spec
    prepared: Prepared | None = None
    steps: list[Step] = field(default_factory=list)
    warmup_wall_s: list[float] = field(default_factory=list)
    sweep: tuple[PrefixPoint, ...] = ()
    sweep_reason: str | None = "not taken"
    dwells: tuple[Dwell, ...] = ()
    samples: DeviceSamples = field(default_factory=DeviceSamples)
    depth: DepthLaw | None = None
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
    def typical_s(self) -> float:
        """What a step takes, as far as is known."""
        if self.prepared is None:
            return math.inf
        return min(self.prepared.warmup_wall_s)

    @property
    def steps_per_visit(self) -> int:
        """Steps of one round."""
        return max(1, min(MOST_STEPS, math.ceil(VISIT_S / self.typical_s)))

    def fail(self, kind: str, detail: str) -> None:
        """Take no more steps of it, and say why."""
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
        for worker in self.workers:
            worker.start("ready")
        for index, worker in enumerate(self.workers):
            try:
                worker.finish()
            except WorkerDiedError as death:
                raise SeqprofError(
                    f"the process of {self.contenders[index].label} did not start: {death}",
                    exit_code=EXIT_CANNOT_MEASURE,
                ) from death

    def prepare(self, entry: Entry) -> None:
        """Build, warm up and count; a point that does not fit into memory is a result."""
        try:
            answer = self.workers[entry.contender].call("prepare", entry.key, entry.spec)
        except SeqprofError as error:
            if len(self.contenders) == 1:
                raise
            raise SeqprofError(
                f"{entry.label}: {error.message}", error.hint, error.exit_code
            ) from error
        except WorkerDiedError as death:
            # What the system kills is nearly always the process that took the memory.
            kind = "out_of_memory" if "SIGKILL" in str(death) else "step_failed"
            entry.fail(kind, str(death))
            self._replace_worker(entry.contender)
            return
        if isinstance(answer, Failure):
            entry.fail(answer.kind, answer.detail)
            entry.workload = answer.workload
            return
        entry.prepared, entry.workload = answer, answer.workload
        entry.warmup_wall_s += answer.warmup_wall_s

    def _replace_worker(self, contender: int) -> None:
        """Go on after a death. The new one is of a group of its own."""
        group = WorkerGroup([self.contenders[contender].folder], self.origin_ns)
        self._groups.append(group)
        self.workers[contender] = group.workers[0]
        for entry in self.entries:
            if entry.contender == contender and entry.ready:
                self.prepare(entry)

    def visit(self, entry: Entry, round_: int) -> None:
        """Take one round's steps of an entry."""
        worker = self.workers[entry.contender]
        try:
            answer = worker.call("visit", entry.key, round_, entry.steps_per_visit)
        except WorkerDiedError as death:
            entry.fail("step_failed", str(death))
            self._replace_worker(entry.contender)
            return
        if isinstance(answer, Failure):
            entry.fail(answer.kind, answer.detail)
            return
        assert isinstance(answer, Visit)
        entry.steps += answer.steps
        entry.warmup_wall_s += answer.settling_s

    def take_sweep(self, entry: Entry) -> None:
        """Take prefixes of the sequences, for the marginal cost."""
        try:
            answer = self.workers[entry.contender].call("sweep", entry.key, SWEEP_S)
        except WorkerDiedError as death:
            answer = Failure("step_failed", str(death))
            self._replace_worker(entry.contender)
        if isinstance(answer, Failure):
            entry.incidents.append(Incident(kind="sweep_failed", detail=answer.detail))
            entry.sweep_reason = answer.detail
            return
        entry.sweep, entry.sweep_reason = answer, None

    def take_dwells(self, entry: Entry) -> None:
        """Repeat each phase for NVML; nothing without an accelerator."""
        answer = self.workers[entry.contender].call("dwell", entry.key)
        if isinstance(answer, Dwelt):
            entry.dwells, entry.samples = answer.dwells, answer.samples
            entry.incidents += answer.incidents

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
                answer = self.workers[contender].finish()
            except WorkerDiedError as death:
                answer = Failure("step_failed", str(death))
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
        environment = next((e.prepared.environment for e in self.entries if e.prepared), None)
        if environment is None:
            reasons = [incident.detail for e in self.entries for incident in e.incidents]
            raise SeqprofError(
                f"not a single step was measured: {reasons[0] if reasons else 'interrupted'}",
                exit_code=EXIT_INTERRUPTED if self.interrupted else EXIT_CANNOT_MEASURE,
            )
        first = self.entries[0]
        return Recording(
            kind=kind,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            spec=first.spec.model_dump(mode="json"),
            seed=first.spec.train.seed,
            environment=environment,
            trials=tuple(self._trial(entry, environment) for entry in self.entries),
            timer_resolution_s=_timer_resolution_s(),
            candidates=tuple(map(_candidate, self.entries)),
            baseline=baseline,
            matched=matched,
        )

    def _trial(self, entry: Entry, environment: Environment) -> Trial:
        prepared = entry.prepared
        return Trial(
            workload=entry.workload or self._unbuilt(entry),
            warmup_wall_s=tuple(entry.warmup_wall_s),
            steps=tuple(entry.steps),
            clock_origin_ns=self.origin_ns,
            timesteps_reason="`seqprof run` times timesteps; this was measured in bare steps",
            accounts=prepared.accounts if prepared else (),
            sweep=entry.sweep,
            sweep_reason=entry.sweep_reason,
            dwells=entry.dwells,
            samples=entry.samples,
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


def _no_depth(entry: Entry, reason: str) -> DepthLaw:
    timesteps = entry.workload.timesteps if entry.workload else entry.key[0]
    return DepthLaw(timesteps=timesteps, reason=reason)


def _why_not_taken(entry: Entry) -> str:
    return entry.incidents[0].detail if entry.incidents else "the measuring ended before it"


def _candidate(entry: Entry) -> Candidate:
    prepared = entry.prepared
    return Candidate(
        label=entry.label,
        spec=entry.spec.model_dump(mode="json"),
        operations=prepared.operations if prepared else (),
        unflattened=prepared.unflattened if prepared else (),
    )


def _timer_resolution_s(tries: int = 200) -> float:
    """Smallest step of the host clock that was seen between two reads."""
    steps = []
    for _ in range(tries):
        start = perf_counter_ns()
        while (end := perf_counter_ns()) == start:
            pass
        steps.append(end - start)
    return min(steps) * _NS
