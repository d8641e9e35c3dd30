"""Two recordings → what changed between them: settings, every headline metric, timesteps, idle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from seqprof.analysis.findings import Findings, find
from seqprof.analysis.phases import phase_clock, phase_time, steps_of
from seqprof.analysis.points import failure_of
from seqprof.analysis.settings_changed import (
    SettingChange,
    changed_environment,
    changed_load,
    changed_spec,
    changed_workload,
    contention,
    disturbed,
    why_incomparable,
    why_incomparable_work,
)
from seqprof.analysis.statistics import Estimate, estimate_median, median, missing
from seqprof.analysis.timesteps_changed import LoopChange, compare_timesteps
from seqprof.analysis.unpaired import (
    METHOD,
    Runs,
    Verdict,
    absent_reason,
    compare_runs,
    judge,
    of_estimates,
)
from seqprof.errors import SeqprofError
from seqprof.recording import PHASES, Clock, ProfiledPass, Recording, Step, Trial

Worse = Literal["larger", "smaller"]
_Key = tuple[str | None, int, int]
_RUN: _Key = (None, 0, 0)
TIME: tuple[Verdict, Verdict] = ("slower", "faster")
AMOUNT: tuple[Verdict, Verdict] = ("more", "less")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """One headline metric of both runs."""

    metric: str
    phase: Annotated[str | None, Meta(description="null for what belongs to no phase")]
    loop: Annotated[str | None, Meta(description="module called once per timestep")] = None
    base: Estimate
    new: Estimate
    ratio: Annotated[Estimate, Meta(description="new / base, with its 95 % interval")]
    fast: Annotated[
        Estimate | None,
        Meta(description="the same of the fast quartile, which has to agree; null for no time"),
    ] = None
    processor: Annotated[
        Estimate | None,
        Meta(
            description="the same of the processor time of these steps, which has to agree where "
            "other programs competed for the processor; null where none did"
        ),
    ] = None
    verdict: Annotated[
        Verdict | None, Meta(description="null where there is no interval to judge by")
    ]
    worse: Annotated[
        Worse | None, Meta(description="which ratio is the bad one; null where neither is")
    ]

    @property
    def key(self) -> str:
        """The name by which `--metric` chooses it: phase_time.forward."""
        return ".".join(part for part in (self.metric, self.phase, self.loop) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleChange:
    """Idle time of one phase, or of the step, by its cause: means per profiled step."""

    phase: str
    on: Annotated[str, Meta(description="device, or processor where operators stand in")]
    cause: str
    base_s: float
    new_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChange:
    """One workload of both recordings: that of a run, or one candidate at one length."""

    label: Annotated[str | None, Meta(description="candidate; null in a run")]
    timesteps: int
    batch_size: int
    metrics: tuple[MetricChange, ...]
    loops: tuple[LoopChange, ...]
    loops_absent: Annotated[tuple[str, ...], Meta(description="loops not compared, and why")]
    idle: tuple[IdleChange, ...]
    idle_reason: Annotated[str | None, Meta(description="why there is no idle by cause")]

    @property
    def name(self) -> str:
        """What it is called beside others."""
        label = f"{self.label}, " if self.label else ""
        return f"{label}T = {self.timesteps}, batch {self.batch_size}"

    def find(self, key: str) -> MetricChange:
        """Return one metric by its key; raises StopIteration where there is none."""
        return next(metric for metric in self.metrics if metric.key == key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Which recording this is."""

    name: str
    created: str
    command: str
    commit: str | None
    runs: Annotated[int, Meta(description="recordings of this side; all count in the times")]


def _contention(recording: Recording, trial: Trial) -> float:
    return contention(trial.host, recording.environment)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The same workload in the runs of both sides."""

    base: Sequence[tuple[Recording, Trial]]
    new: Sequence[tuple[Recording, Trial]]

    @property
    def first(self) -> tuple[Trial, Trial]:
        """The trials of the first recordings, for what is not a time."""
        return self.base[0][1], self.new[0][1]

    @property
    def contention(self) -> tuple[float, float]:
        """Share of the threads that no core was free for, in the first recordings."""
        return _contention(*self.base[0]), _contention(*self.new[0])

    def series(self, value: Callable[[Trial], list[float] | str]) -> tuple[Runs | str, Runs | str]:
        """Return a quantity of both sides, or in a side's place why there is none."""
        return self._series(self.base, value), self._series(self.new, value)

    def _series(
        self, side: Sequence[tuple[Recording, Trial]], value: Callable[[Trial], list[float] | str]
    ) -> Runs | str:
        found = [value(trial) for _, trial in side]
        absent = [steps for steps in found if isinstance(steps, str)]
        known = [steps for steps in found if not isinstance(steps, str)]
        return absent[0] if absent else Runs(known, [_contention(*part) for part in side])

    @property
    def processor_counts(self) -> bool:
        """Whether the processor trains and other programs competed for it in any run."""
        return any(
            disturbed(trial.host, recording.environment)
            and not recording.environment.device.is_accelerator
            for recording, trial in (*self.base, *self.new)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """All that changed from one recording to another."""

    kind: Literal["run", "compare", "scale"]
    base: Side
    new: Side
    incomparable: Annotated[
        tuple[str, ...], Meta(description="why ratios say nothing of the program; empty if they do")
    ]
    spec: tuple[SettingChange, ...]
    environment: tuple[SettingChange, ...]
    cases: tuple[CaseChange, ...]
    unmatched: Annotated[tuple[str, ...], Meta(description="what only one recording has")]


def find_differences(
    base: Sequence[Recording], new: Sequence[Recording], names: tuple[str, str] = ("base", "new")
) -> Differences:
    """Compare recordings of the same kind, one or more of each side.

    Runs have one case. Of `compare` and `scale`, candidates with the same label, length and batch
    size are held against one another. All recordings of a side count in the times; for everything
    else the first one stands.

    Raises:
        SeqprofError: a recording holds no trial.
    """
    sides = [[_cases(recording) for recording in side] for side in (base, new)]
    before, after = sides[0][0], sides[1][0]
    common = [key for key in before if all(key in cases for side in sides for cases in side)]
    pairs = {key: _Sides(*([cases[key] for cases in side] for side in sides)) for key in common}
    return Differences(
        kind=new[0].kind,
        base=_side(base, names[0]),
        new=_side(new, names[1]),
        incomparable=_incomparable([*base, *new], list(pairs.values())),
        spec=tuple(_specs(pairs)),
        environment=(
            *changed_environment(base[0].environment, new[0].environment),
            *_load(base[0], new[0]),
        ),
        cases=tuple(_case(key, sides) for key, sides in pairs.items()),
        unmatched=tuple(_unmatched(before, after, common)),
    )


def _cases(recording: Recording) -> dict[_Key, tuple[Recording, Trial]]:
    """Return the trials by label, length and batch size; a run's only one by nothing at all."""
    if not recording.trials:
        raise SeqprofError("a recording holds no trial", "measure again with `seqprof run`")
    if recording.kind == "run":
        return dict.fromkeys([_RUN], (recording, recording.trials[0]))
    found: dict[_Key, tuple[Recording, Trial]] = {}
    for candidate, trial in zip(recording.candidates, recording.trials, strict=True):
        work = trial.workload
        key = (candidate.label, work.timesteps, work.batch_size)
        found[key] = (replace(recording, spec=candidate.spec), trial)
    return found


def _side(recordings: Sequence[Recording], name: str) -> Side:
    first = recordings[0]
    return Side(
        name=name,
        created=first.created,
        command=first.command,
        commit=first.environment.commit,
        runs=len(recordings),
    )


def _incomparable(recordings: Sequence[Recording], pairs: Sequence[_Sides]) -> tuple[str, ...]:
    first = recordings[0]
    kinds = dict.fromkeys(recording.kind for recording in recordings)
    if len(kinds) > 1:
        return (f"kind of recording: {' → '.join(kinds)}",)
    if not pairs:
        return ("candidates: no label, length and batch size is in all recordings",)
    found = [
        line
        for other in recordings
        for line in why_incomparable(first.environment, other.environment)
    ]
    for sides in pairs:
        for _, trial in (*sides.base, *sides.new):
            found += why_incomparable_work(sides.base[0][1], trial)
        for name, side in (("base", sides.base), ("new", sides.new)):
            found += [
                f"the {name} recordings differ among themselves: {change.key}: "
                f"{change.base} → {change.new}"
                for recording, _ in side
                for change in changed_spec(side[0][0].spec, recording.spec)
            ]
    return tuple(dict.fromkeys(found))


def _specs(pairs: dict[_Key, _Sides]) -> Iterator[SettingChange]:
    told = set()
    for key, sides in pairs.items():
        changes = (
            *changed_spec(sides.base[0][0].spec, sides.new[0][0].spec),
            *changed_workload(*(trial.workload for trial in sides.first)),
        )
        for change in changes:
            name = f"{key[0]}: {change.key}" if key[0] is not None else change.key
            if name not in told:
                told.add(name)
                yield replace(change, key=name)


def _load(base: Recording, new: Recording) -> tuple[SettingChange, ...]:
    cores = new.environment.cores
    return changed_load(base.trials[0].host, new.trials[0].host, cores)


def _unmatched(
    before: dict[_Key, tuple[Recording, Trial]],
    after: dict[_Key, tuple[Recording, Trial]],
    common: Sequence[_Key],
) -> Iterator[str]:
    for name, cases in (("base", before), ("new", after)):
        for key in cases:
            if key not in common and key != _RUN:
                yield f"{key[0]}, T = {key[1]}, batch {key[2]}: in the {name} only"


def _case(key: _Key, sides: _Sides) -> CaseChange:
    base, new = sides.first
    loops, absent = compare_timesteps(base, new)
    idle, reason = compare_idle(base.profile, new.profile)
    return CaseChange(
        label=key[0],
        timesteps=new.workload.timesteps,
        batch_size=new.workload.batch_size,
        metrics=tuple(_metrics(sides)),
        loops=loops,
        loops_absent=absent,
        idle=idle,
        idle_reason=reason,
    )


# Metrics --------------------------------------------------------------------------------------


def _metrics(sides: _Sides) -> Iterator[MetricChange]:
    before, after = (find(*side[0]) for side in (sides.base, sides.new))
    yield _timed(sides, "step_time", None, lambda step: step.wall_s, _processor_time)
    yield _timed(sides, "step_cpu_time", None, _processor_time)
    yield _throughput(sides, before, after)
    yield from _phases(sides)
    yield from _loop_times(sides)
    yield from _estimates(before, after, sides.contention)
    yield _depth(*sides.first)


def series(trial: Trial, value: Callable[[Step], float | None]) -> list[float]:
    """Return a quantity of each bare step in order of time; of a comparison's, of each round.

    Steps of one round are not independent, so a round counts once, as its median.
    """
    rounds: dict[int, list[float]] = {}
    for step in steps_of(trial, "bare"):
        found = value(step)
        if found is not None:
            rounds.setdefault(step.pair, []).append(found)
    return [median(values) for values in rounds.values()]


_OfStep = Callable[[Step], float | None]


def _processor_time(step: Step) -> float:
    return math.fsum(timing.cpu_s for timing in step.phases.values())


def _timed(
    sides: _Sides, metric: str, phase: str | None, value: _OfStep, processor: _OfStep | None = None
) -> MetricChange:
    """Compare a time of the bare steps.

    Args:
        processor: the processor time of the same part of a step; None where there is none.
    """
    held_off = processor is not None and sides.processor_counts
    witness = (
        sides.series(lambda trial: _known(trial, processor)) if held_off and processor else None
    )
    return _of_series(
        metric, phase, *sides.series(lambda trial: _known(trial, value)), witness=witness
    )


def _known(trial: Trial, value: _OfStep) -> list[float] | str:
    return series(trial, value) or failure_of(trial) or "no bare step has it"


def _of_series(
    metric: str,
    phase: str | None,
    base: Runs | str,
    new: Runs | str,
    loop: str | None = None,
    witness: tuple[Runs | str, Runs | str] | None = None,
) -> MetricChange:
    """Compare two sides' times; a string in a side's place says why there are none."""
    made: dict[str, Any] = {
        "metric": metric,
        "phase": phase,
        "loop": loop,
        "base": _estimate(base),
        "new": _estimate(new),
    }
    if isinstance(base, str) or isinstance(new, str):
        return _incomplete(made, "larger")
    if min(*base.values, *new.values) <= 0.0:
        return _incomplete(made, "larger", "a time of zero has no ratio")
    change = compare_runs(base, new)
    processor = _witness(witness)
    witnesses = [change.fast] if processor is None else [change.fast, processor]
    return MetricChange(
        **made,
        ratio=change.ratio,
        fast=change.fast,
        processor=processor,
        verdict=judge(change.ratio, witnesses, TIME),
        worse="larger",
    )


def _witness(sides: tuple[Runs | str, Runs | str] | None) -> Estimate | None:
    if sides is None:
        return None
    base, new = sides
    if isinstance(base, str) or isinstance(new, str) or min(*base.values, *new.values) <= 0.0:
        return missing("1", METHOD, "the processor time was too short to be counted")
    return compare_runs(base, new).ratio


def _estimate(runs: Runs | str) -> Estimate:
    method = "median"
    if isinstance(runs, str):
        return missing("s", method, runs)
    return estimate_median(runs.values, unit="s", method=method, absent="")


def _incomplete(
    made: dict[str, Any], worse: Worse | None, reason: str | None = None
) -> MetricChange:
    absent = reason or absent_reason(made["base"], made["new"])
    return MetricChange(**made, ratio=missing("1", METHOD, absent), verdict=None, worse=worse)


def _throughput(sides: _Sides, before: Findings, after: Findings) -> MetricChange:
    """Compare the seconds per timestep, turned over: the fast quartile is that of the times."""

    def each(step: Step) -> float | None:
        real = step.positions - step.padded_positions
        return step.wall_s / real if real > 0 else None

    turned = _timed(sides, "throughput", None, each, _processor_time)
    return replace(
        turned,
        base=before.throughput,
        new=after.throughput,
        ratio=inverse(turned.ratio),
        fast=None if turned.fast is None else inverse(turned.fast),
        processor=None if turned.processor is None else inverse(turned.processor),
        worse="smaller",
    )


def inverse(ratio: Estimate) -> Estimate:
    """Return base / new for new / base, or the other way round."""
    return replace(
        ratio,
        value=1 / ratio.value if ratio.value else None,
        low=1 / ratio.high if ratio.high else None,
        high=1 / ratio.low if ratio.low else None,
    )


def _phases(sides: _Sides) -> Iterator[MetricChange]:
    clocks = {phase_clock(trial) for _, trial in (*sides.base, *sides.new)}
    steps = [step for trial in sides.first for step in steps_of(trial, "bare")]
    for phase in PHASES:
        if any(phase in step.phases for step in steps):
            yield _phase(sides, phase, clocks)


def _phase(sides: _Sides, phase: str, clocks: set[Clock]) -> MetricChange:
    clock: Clock = "device" if "device" in clocks else "host"

    def time(step: Step) -> float | None:
        return phase_time(step.phases[phase], clock) if phase in step.phases else None

    def processor(step: Step) -> float | None:
        return step.phases[phase].cpu_s if phase in step.phases else None

    made = _timed(sides, "phase_time", phase, time, processor if clock == "host" else None)
    if len(clocks) == 1:
        return made
    absent = missing("1", METHOD, "one was timed on the host's clock, the other on the device's")
    return replace(made, ratio=absent, fast=None, verdict=None)


def _loop_times(sides: _Sides) -> Iterator[MetricChange]:
    """The loops over timesteps, first mark to last; from the probed steps."""
    clock = phase_clock(sides.first[1])

    def spans(trial: Trial, loop: str, phase: str) -> list[float] | str:
        found = [
            seconds
            for step in steps_of(trial, "probed")
            for timing in step.loops
            if (timing.loop, timing.phase) == (loop, phase)
            if (seconds := timing.host_s if clock == "host" else timing.device_s) is not None
        ]
        return found or trial.timesteps_reason or "no probed step has this loop"

    keys = dict.fromkeys(
        (x.loop, x.phase) for trial in sides.first for x in trial.latencies if x.clock == clock
    )
    for loop, phase in keys:

        def of(trial: Trial, loop: str = loop, phase: str = phase) -> list[float] | str:
            return spans(trial, loop, phase)

        yield _of_series("loop_time", phase, *sides.series(of), loop)


def _estimates(
    before: Findings, after: Findings, contended: tuple[float, float]
) -> Iterator[MetricChange]:
    """What a run has one value of: counts, memory, utilization, marginal cost."""
    old, now = dict(_single(before)), dict(_single(after))
    for key in dict.fromkeys((*old, *now)):
        metric, phase = key
        absent = missing("1", "", "not in this recording")
        yield _of_singles(metric, phase, old.get(key, absent), now.get(key, absent), contended)


def _single(findings: Findings) -> Iterator[tuple[tuple[str, str | None], Estimate]]:
    for phase in findings.phases:
        yield ("peak_memory", phase.phase), phase.peak_memory
        yield ("operations", phase.phase), phase.operations
    for idle in findings.idle:
        yield ("nvml_utilization", idle.phase), idle.nvml_utilization
        yield ("busy_fraction", idle.phase), idle.busy_fraction
        yield ("sm_active", idle.phase), idle.sm_active
        yield ("model_flops_utilization", idle.phase), idle.model_flops_utilization
        yield ("core_busy_fraction", idle.phase), idle.core_busy_fraction
        yield ("idle_time", idle.phase), idle.idle_time
    for dwell in findings.dwells:
        yield ("power", dwell.phase), dwell.power
        yield ("energy_per_repetition", dwell.phase), dwell.energy
    for cost in findings.marginal:
        yield ("marginal_time_per_timestep", cost.phase), cost.marginal


#: Metrics that are worse when they are larger; of utilizations neither is.
_COSTS = frozenset(
    {"peak_memory", "operations", "idle_time", "energy_per_repetition", "depth_operations"}
)


def _of_singles(
    metric: str,
    phase: str | None,
    base: Estimate,
    new: Estimate,
    contended: tuple[float, float] = (0.0, 0.0),
) -> MetricChange:
    timed = metric == "marginal_time_per_timestep"
    worse: Worse | None = "larger" if timed or metric in _COSTS else None
    made: dict[str, Any] = {"metric": metric, "phase": phase, "base": base, "new": new}
    if base.value is None or new.value is None:
        return _incomplete(made, worse)
    if base.method != new.method and metric == "peak_memory":
        return _incomplete(made, worse, f"methods differ: {base.method} → {new.method}")
    exact = metric in ("operations", "depth_operations") or base.method == "allocator"
    if exact and base.value > 0:
        return _counted(made, worse)
    ratio = of_estimates(base, new, contended)
    return MetricChange(
        **made, ratio=ratio, verdict=judge(ratio, (), TIME if timed else AMOUNT), worse=worse
    )


def _counted(made: dict[str, Any], worse: Worse | None) -> MetricChange:
    """Counts do not scatter: any difference is one."""
    base, new = made["base"].value, made["new"].value
    ratio = new / base
    verdict: Verdict = "equivalent" if new == base else AMOUNT[0] if new > base else AMOUNT[1]
    return MetricChange(
        **made,
        ratio=Estimate(
            value=ratio, low=ratio, high=ratio, unit="1", method="exact counts", n=made["new"].n
        ),
        verdict=verdict,
        worse=worse,
    )


def _depth(base: Trial, new: Trial) -> MetricChange:
    def of(trial: Trial) -> Estimate:
        law, method = trial.depth, "derived from shapes"
        if law is None or law.depth_ops is None:
            return missing("1", method, (law and law.reason) or "not in this recording")
        return Estimate(value=law.depth_ops, unit="1", method=method, n=1)

    return _of_singles("depth_operations", None, of(base), of(new))


# Idle -----------------------------------------------------------------------------------------


def compare_idle(
    base: ProfiledPass | None, new: ProfiledPass | None
) -> tuple[tuple[IdleChange, ...], str | None]:
    """Return idle by phase and cause where both runs had a profiled pass, or why not."""
    for name, made in (("base", base), ("new", new)):
        if made is None or made.whole is None:
            why = made.reason if made is not None and made.reason else "it has no profiled pass"
            return (), f"no kernel timeline in the {name}: {why}"
    if base is None or new is None:  # for the type checker: the loop has returned
        return (), None
    if base.on != new.on:
        return (), f"one timeline is of the {base.on}, the other of the {new.on}"
    return tuple(_idle(base, new)), None


def _idle(base: ProfiledPass, new: ProfiledPass) -> Iterator[IdleChange]:
    before = {part.phase: part for part in (*base.phases, base.whole) if part is not None}
    after = {part.phase: part for part in (*new.phases, new.whole) if part is not None}
    for phase in dict.fromkeys((*before, *after)):
        old = before[phase].idle_by_cause_s if phase in before else {}
        now = after[phase].idle_by_cause_s if phase in after else {}
        for cause in dict.fromkeys((*old, *now)):
            yield IdleChange(
                phase=phase,
                on=new.on,
                cause=cause,
                base_s=old.get(cause, 0.0),
                new_s=now.get(cause, 0.0),
            )
