"""Recording of `scale` → growth over lengths and batches, crossovers, and the points themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.artefacts import find_artefacts
from seqprof.analysis.candidate_caveats import candidate_caveats
from seqprof.analysis.caveats import Caveat, by_severity
from seqprof.analysis.crossover import Crossover, find_crossover
from seqprof.analysis.findings import find
from seqprof.analysis.growth import Growth, Saturation, find_saturation, fit_growth
from seqprof.analysis.idle import IdleSource
from seqprof.analysis.points import busy_of, failure_of, peak_memory
from seqprof.analysis.rounds import Series, estimate_rounds, rounds_of
from seqprof.analysis.scaled_told import batches_in_words, growth_in_words, meetings_in_words
from seqprof.analysis.statistics import Estimate, missing
from seqprof.recording import Candidate, DepthLaw, Environment, Recording, Trial

Phase = Literal["forward", "backward", "step"]
Quantity = Literal["step", "peak_memory"]
#: Label and batch size of points that lie along T.
Line = tuple[str, int | None]
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
    busy: Annotated[Estimate, Meta(description="share of the step; of what, busy_source tells")]
    busy_source: IdleSource
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
    quantity: Quantity
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
        _Measured(_point(recording, candidate, trial), rounds_of(trial))
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    ]
    lines = _lines(measured)
    lengths = tuple(
        LengthGrowth(label=label, batch_size=batch, phase=phase, growth=_growth(own, phase))
        for (label, batch), own in lines.items()
        for phase in PHASES
    )
    batches = tuple(_batches(measured))
    crossovers = tuple(_meetings(lines))
    return ScaledSummary(
        command=recording.command,
        created=recording.created,
        seed=recording.seed,
        environment=recording.environment,
        points=tuple(m.point for m in measured),
        lengths=lengths,
        batches=batches,
        crossovers=crossovers,
        caveats=by_severity(
            *candidate_caveats(recording), *_uneven_tokens(lines), *find_artefacts(recording)
        ),
        sentences=(
            *growth_in_words(lengths),
            *batches_in_words(batches),
            *meetings_in_words(crossovers),
        ),
    )


def _point(recording: Recording, candidate: Candidate, trial: Trial) -> Point:
    series, failed = rounds_of(trial), failure_of(trial)
    absent = failed or "no round was measured"
    found = find(replace(recording, spec=candidate.spec), trial)
    busy, source = busy_of(recording, candidate, trial, found)
    return Point(
        label=candidate.label,
        timesteps=trial.workload.timesteps,
        batch_size=trial.workload.batch_size,
        failed=failed,
        step=estimate_rounds(series.step, absent),
        forward=estimate_rounds(series.forward, absent),
        backward=estimate_rounds(series.backward, absent),
        peak_memory=peak_memory(trial, failed),
        busy=busy,
        busy_source=source,
        depth=trial.depth,
    )


def _lines(measured: Sequence[_Measured]) -> dict[Line, list[_Measured]]:
    """Return the points along T: of one batch size, or all where each T has its own."""
    lines: dict[Line, list[_Measured]] = {}
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


def _meetings(lines: Mapping[Line, Sequence[_Measured]]) -> list[Meeting]:
    quantities: tuple[Quantity, ...] = ("step", "peak_memory")
    return [
        Meeting(
            first=one[0],
            second=other[0],
            batch_size=one[1],
            quantity=quantity,
            crossover=_meet(one, other, lines, quantity),
        )
        for one, other in combinations(lines, 2)
        if one[1] == other[1] and one[0] != other[0]
        for quantity in quantities
    ]


def _meet(
    one: Line, other: Line, lines: Mapping[Line, Sequence[_Measured]], quantity: Quantity
) -> Crossover:
    first, second = _costs(lines[one], quantity), _costs(lines[other], quantity)
    names = (one[0], other[0])
    if quantity == "step":
        return find_crossover(first, second, names=names)
    methods = {m.point.peak_memory.method for m in (*lines[one], *lines[other])}
    if methods == {"allocator"}:
        return find_crossover(first, second, exact=True, names=names)
    # The resident set of a process, which stands in on the CPU, is mostly the interpreter's and
    # torch's, and differs a little from process to process.
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
    costs = ({n: cost[n] for n in apart} for cost in (first, second))
    return find_crossover(*costs, exact=True, names=names)


def _costs(own: Sequence[_Measured], quantity: Quantity) -> dict[int, Sequence[float]]:
    if quantity == "step":
        return {m.point.timesteps: m.series.step for m in own if m.series.step}
    return {
        m.point.timesteps: [m.point.peak_memory.value]
        for m in own
        if m.point.peak_memory.value is not None
    }


def _uneven_tokens(lines: Mapping[Line, Sequence[_Measured]]) -> list[Caveat]:
    """Constant tokens are constant only where the lengths divide them."""
    tokens = {
        m.point.timesteps * m.point.batch_size
        for (_, batch), own in lines.items()
        if batch is None
        for m in own
    }
    if len(tokens) < 2:
        return []
    return [
        Caveat(
            kind="uneven_tokens",
            severity="note",
            text="Batch x T is not quite constant: a batch is a whole number",
            evidence=f"{min(tokens):,} to {max(tokens):,} tokens in a step",
            remedy="take lengths that divide the tokens, as doublings do",
        )
    ]
