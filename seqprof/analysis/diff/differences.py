"""Two recordings → what changed between them: settings, every headline metric, timesteps, idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.diff.carried import (
    CarriedWarning,
    CaveatsOf,
    carried_warnings,
    caveats_of_run,
    largest_drift,
)
from seqprof.analysis.diff.idle_changed import IdleChange, compare_idle
from seqprof.analysis.diff.metric_change import MetricChange
from seqprof.analysis.diff.settings_changed import (
    SettingChange,
    changed_environment,
    changed_load,
    changed_spec,
    changed_workload,
    why_incomparable,
    why_incomparable_work,
)
from seqprof.analysis.diff.times_changed import Sides, compare_times
from seqprof.analysis.diff.timesteps_changed import LoopChange, compare_timesteps
from seqprof.analysis.diff.values_changed import compare_values
from seqprof.analysis.run.findings import find
from seqprof.analysis.run.quantities.run import Measured
from seqprof.analysis.wording import sizes_in_words
from seqprof.errors import SeqprofError
from seqprof.recording import Recording, Trial

_Key = tuple[str | None, int, int]
_RUN: _Key = (None, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChange:
    """One workload of both recordings: that of a run, or one candidate at one length."""

    label: Annotated[str | None, Meta(description="candidate; null in a run")]
    timesteps: int | None
    batch_size: int | None
    metrics: tuple[MetricChange, ...]
    loops: tuple[LoopChange, ...]
    loops_absent: Annotated[tuple[str, ...], Meta(description="loops not compared, and why")]
    idle: tuple[IdleChange, ...]
    idle_reason: Annotated[str | None, Meta(description="why there is no idle by cause")]
    drift: Annotated[
        float, Meta(description="largest change of the step time while one side was measured")
    ] = 0.0

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say."""
        if all(metric.key != "step_time" for metric in self.metrics):
            raise ValueError("No `step_time` is among the metrics")

    @property
    def name(self) -> str:
        """What it is called beside others."""
        label = f"{self.label}, " if self.label else ""
        return f"{label}{sizes_in_words(self.timesteps, self.batch_size)}"

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
    warnings: Annotated[
        tuple[CarriedWarning, ...], Meta(description="what the recordings themselves warn of")
    ] = ()


def find_differences(
    base: Sequence[Recording],
    new: Sequence[Recording],
    names: tuple[str, str] = ("base", "new"),
    caveats_of: CaveatsOf = caveats_of_run,
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
    pairs = {key: Sides(*([cases[key] for cases in side] for side in sides)) for key in common}
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
        warnings=carried_warnings(base, new, caveats_of),
    )


def _cases(recording: Recording) -> dict[_Key, tuple[Recording, Trial]]:
    """Return the trials by label, length and batch size; a run's only one by nothing at all."""
    if not recording.trials:
        raise SeqprofError("a recording holds no trial", "measure again with `seqprof run`")
    if recording.kind == "run":
        return dict.fromkeys([_RUN], (recording, recording.trials[0]))
    cases: dict[_Key, tuple[Recording, Trial]] = {}
    for candidate, trial in zip(recording.candidates, recording.trials, strict=True):
        key = (candidate.label, *trial.workload.sizes)
        cases[key] = (replace(recording, spec=candidate.spec), trial)
    return cases


def _side(recordings: Sequence[Recording], name: str) -> Side:
    first = recordings[0]
    return Side(
        name=name,
        created=first.created,
        command=first.command,
        commit=first.environment.commit,
        runs=len(recordings),
    )


def _incomparable(recordings: Sequence[Recording], pairs: Sequence[Sides]) -> tuple[str, ...]:
    first = recordings[0]
    kinds = dict.fromkeys(recording.kind for recording in recordings)
    if len(kinds) > 1:
        return (f"kind of recording: {' → '.join(kinds)}",)
    if not pairs:
        return ("candidates: no label, length and batch size is in all recordings",)
    reasons = [
        line
        for other in recordings
        for line in why_incomparable(first.environment, other.environment)
    ]
    for sides in pairs:
        for _, trial in (*sides.base, *sides.new):
            reasons += why_incomparable_work(sides.base[0][1], trial)
        for name, side in (("base", sides.base), ("new", sides.new)):
            reasons += [
                f"the {name} recordings differ among themselves: {change.key}: "
                f"{change.base} → {change.new}"
                for recording, _ in side
                for change in changed_spec(side[0][0].spec, recording.spec)
            ]
    return tuple(dict.fromkeys(reasons))


def _specs(pairs: dict[_Key, Sides]) -> Iterator[SettingChange]:
    settings = set()
    for key, sides in pairs.items():
        changes = (
            *changed_spec(sides.base[0][0].spec, sides.new[0][0].spec),
            *changed_workload(*(trial.workload for trial in sides.first)),
        )
        for change in changes:
            name = f"{key[0]}: {change.key}" if key[0] is not None else change.key
            if name not in settings:
                settings.add(name)
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


def _case(key: _Key, sides: Sides) -> CaseChange:
    base, new = sides.first
    before, after = (Measured(find(*side[0]), side[0][1]) for side in (sides.base, sides.new))
    loops, absent = compare_timesteps(base, new)
    idle, reason = compare_idle(base.profile, new.profile)
    return CaseChange(
        label=key[0],
        timesteps=new.workload.timesteps,
        batch_size=new.workload.batch_size,
        metrics=(*compare_times(sides), *compare_values(before, after, sides.contention)),
        loops=loops,
        loops_absent=absent,
        idle=idle,
        idle_reason=reason,
        drift=largest_drift([trial for _, trial in (*sides.base, *sides.new)]),
    )
