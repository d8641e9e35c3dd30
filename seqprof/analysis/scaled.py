"""Recording of `scale` → growth over lengths and batches, crossovers, and the points themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.artefacts import find_artefacts
from seqprof.analysis.caveats import Caveat
from seqprof.analysis.compared import failure_of, peak_memory
from seqprof.analysis.crossover import Crossover, find_crossover
from seqprof.analysis.growth import Growth, Saturation, find_saturation, fit_growth
from seqprof.analysis.rounds import Series, estimate_rounds, rounds_of
from seqprof.analysis.statistics import Estimate, estimate_median, missing
from seqprof.analysis.wording import seconds_in_words
from seqprof.recording import DepthLaw, Environment, Recording, Trial

Phase = Literal["forward", "backward", "step"]
#: Peaks of two processes that are nearer to each other than this cannot be told apart.
RESIDENT_NOISE = 0.05
PHASES: tuple[Phase, ...] = ("forward", "backward", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate at one length and batch size."""

    label: str
    timesteps: int
    batch_size: int
    failed: Annotated[str | None, Meta(description="why there are no times; null if there are")]
    step: Estimate
    forward: Estimate
    backward: Estimate
    peak_memory: Estimate
    core_busy: Annotated[
        Estimate, Meta(description="process CPU time / (wall time x threads); not the device's")
    ]
    depth: Annotated[DepthLaw | None, Meta(description="null in a recording older than this field")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthGrowth:
    """How one candidate's cost grows with T at one batch size (or at constant tokens)."""

    label: str
    batch_size: Annotated[int | None, Meta(description="null where batch x T is constant")]
    phase: Phase
    growth: Growth


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGrowth:
    """How one candidate's step grows with the batch at one length."""

    label: str
    timesteps: int
    growth: Growth
    saturation: Saturation


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where two candidates cost the same."""

    first: str
    second: str
    batch_size: int | None
    quantity: Literal["step", "peak_memory"]
    crossover: Crossover


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledSummary:
    """A whole scaling."""

    command: str
    created: str
    seed: int
    environment: Environment
    points: tuple[Point, ...]
    lengths: tuple[LengthGrowth, ...]
    batches: tuple[BatchGrowth, ...]
    crossovers: tuple[Meeting, ...]
    caveats: tuple[Caveat, ...]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]


@dataclass(frozen=True, slots=True)
class _Measured:
    point: Point
    series: Series


def summarise_scaling(recording: Recording) -> ScaledSummary:
    """Derive everything that a scaling's report shows."""
    measured = [
        _Measured(_point(candidate.label, trial, recording.environment.threads), rounds_of(trial))
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    ]
    lines = _lines(measured)
    lengths = tuple(
        LengthGrowth(label=label, batch_size=batch, phase=phase, growth=_growth(own, phase))
        for (label, batch), own in lines.items()
        for phase in PHASES
    )
    crossovers = tuple(_meetings(lines))
    return ScaledSummary(
        command=recording.command,
        created=recording.created,
        seed=recording.seed,
        environment=recording.environment,
        points=tuple(m.point for m in measured),
        lengths=lengths,
        batches=tuple(_batches(measured)),
        crossovers=crossovers,
        caveats=(*_interrupted(recording), *find_artefacts(recording)),
        sentences=(*_growth_in_words(lengths), *_meetings_in_words(crossovers)),
    )


def _point(label: str, trial: Trial, threads: int) -> Point:
    series, failed = rounds_of(trial), failure_of(trial)
    absent = failed or "no round was measured"
    busy = [
        sum(timing.cpu_s for timing in step.phases.values()) / (step.wall_s * threads)
        for step in trial.steps
    ]
    return Point(
        label=label,
        timesteps=trial.workload.timesteps,
        batch_size=trial.workload.batch_size,
        failed=failed,
        step=estimate_rounds(series.step, absent),
        forward=estimate_rounds(series.forward, absent),
        backward=estimate_rounds(series.backward, absent),
        peak_memory=peak_memory(trial, failed),
        core_busy=estimate_median(
            busy, unit="1", method="process CPU time / (wall time x threads)", absent=absent
        ),
        depth=trial.depth,
    )


def _lines(measured: Sequence[_Measured]) -> dict[tuple[str, int | None], list[_Measured]]:
    """Return the points along T: of one batch size, or all where each T has its own."""
    lines: dict[tuple[str, int | None], list[_Measured]] = {}
    labels = dict.fromkeys(m.point.label for m in measured)
    for label in labels:
        own = [m for m in measured if m.point.label == label]
        lengths = {m.point.timesteps for m in own}
        batches = sorted({m.point.batch_size for m in own})
        if len(lengths) < 2:
            continue
        if len(batches) > 1 and len(own) == len(lengths):
            lines[label, None] = own
            continue
        for batch in batches:
            lines[label, batch] = [m for m in own if m.point.batch_size == batch]
    return lines


def _growth(own: Sequence[_Measured], phase: Phase) -> Growth:
    times = [(m.point.timesteps, value) for m in own for value in getattr(m.series, phase)]
    return fit_growth([size for size, _ in times], [value for _, value in times])


def _batches(measured: Sequence[_Measured]) -> list[BatchGrowth]:
    groups: dict[tuple[str, int], list[_Measured]] = {}
    for m in measured:
        groups.setdefault((m.point.label, m.point.timesteps), []).append(m)
    found = []
    for (label, timesteps), own in groups.items():
        times = [(m.point.batch_size, value) for m in own for value in m.series.step]
        sizes, seconds = [size for size, _ in times], [value for _, value in times]
        if len(set(sizes)) > 1:
            found.append(
                BatchGrowth(
                    label=label,
                    timesteps=timesteps,
                    growth=fit_growth(sizes, seconds),
                    saturation=find_saturation(sizes, seconds),
                )
            )
    return found


def _meetings(lines: Mapping[tuple[str, int | None], Sequence[_Measured]]) -> list[Meeting]:
    found = []
    for (one, other), quantity in (
        (pair, quantity) for pair in combinations(lines, 2) for quantity in ("step", "peak_memory")
    ):
        if one[1] != other[1] or one[0] == other[0]:
            continue
        name: Literal["step", "peak_memory"] = "step" if quantity == "step" else "peak_memory"
        costs = _costs(lines[one], name), _costs(lines[other], name)
        crossover = find_crossover(*costs) if name == "step" else _meet_in_memory(lines, *costs)
        found.append(
            Meeting(
                first=one[0],
                second=other[0],
                batch_size=one[1],
                quantity=name,
                crossover=crossover,
            )
        )
    return found


def _meet_in_memory(
    lines: Mapping[tuple[str, int | None], Sequence[_Measured]],
    first: Mapping[int, Sequence[float]],
    second: Mapping[int, Sequence[float]],
) -> Crossover:
    """Find the crossover of the peaks.

    The resident set of a process, which stands in on the CPU, is mostly the interpreter's and
    torch's, and differs a little from process to process: near ones tell nothing.
    """
    exact = all(m.point.peak_memory.method == "allocator" for own in lines.values() for m in own)
    if exact:
        return find_crossover(first, second)
    apart = [
        length
        for length in sorted(set(first) & set(second))
        if abs(first[length][0] / second[length][0] - 1) >= RESIDENT_NOISE
    ]
    if len(apart) < 2:
        reason = f"the processes' peaks differ by less than {RESIDENT_NOISE:.0%} at most lengths"
        return Crossover(
            length=missing("1", "peaks of the processes", reason),
            extrapolated=False,
            cheaper_below=None,
        )
    return find_crossover({n: first[n] for n in apart}, {n: second[n] for n in apart})


def _costs(
    own: Sequence[_Measured], quantity: Literal["step", "peak_memory"]
) -> dict[int, Sequence[float]]:
    if quantity == "step":
        return {m.point.timesteps: m.series.step for m in own if m.series.step}
    return {
        m.point.timesteps: [m.point.peak_memory.value]
        for m in own
        if m.point.peak_memory.value is not None
    }


def _interrupted(recording: Recording) -> list[Caveat]:
    if not any(i.kind == "interrupted" for trial in recording.trials for i in trial.incidents):
        return []
    return [
        Caveat(
            kind="interrupted",
            severity="error",
            text="The scaling was interrupted; what was measured until then is shown",
            evidence="Ctrl-C",
            remedy="run it again with fewer points or a smaller --budget",
        )
    ]


def _growth_in_words(lengths: Sequence[LengthGrowth]) -> list[str]:
    told = []
    for line in lengths:
        exponent, marginal = line.growth.exponent, line.growth.marginal
        if line.phase != "step" or exponent.value is None or marginal.value is None:
            continue
        where = "" if line.batch_size is None else f" at batch {line.batch_size}"
        told.append(
            f"{line.label}{where}: one more timestep costs {seconds_in_words(marginal.value, 2)}; "
            f"a step grows as T^{exponent.value:.2f} (misfit {line.growth.power_misfit or 0:.0%})."
        )
    return told


def _meetings_in_words(crossovers: Sequence[Meeting]) -> list[str]:
    told = []
    for meeting in crossovers:
        length = meeting.crossover.length
        if length.value is None or length.low is None or length.high is None:
            continue
        what = "time" if meeting.quantity == "step" else "memory"
        cheaper = meeting.first if meeting.crossover.cheaper_below == 0 else meeting.second
        mark = ", extrapolated" if meeting.crossover.extrapolated else ""
        told.append(
            f"{meeting.first} and {meeting.second} cost the same {what} at T = {length.value:.0f} "
            f"({length.low:.0f} to {length.high:.0f}{mark}); below it {cheaper} is cheaper."
        )
    return told
