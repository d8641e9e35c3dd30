"""Recording of `scale` → growth over lengths and batches, crossovers, and the points themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from seqprof.analysis.compare.artefacts import find_artefacts
from seqprof.analysis.compare.candidate_caveats import candidate_caveats
from seqprof.analysis.compare.contention import contended_rounds, contention_of
from seqprof.analysis.compare.points import busy_of, failure_of, peak_memory
from seqprof.analysis.compare.rounds import RoundTimes, estimate_rounds, rounds_of, undisturbed
from seqprof.analysis.run.caveats.caveat import Caveat, by_severity
from seqprof.analysis.run.findings import find
from seqprof.analysis.scale.crossover import Crossover, find_crossover, no_crossover
from seqprof.analysis.scale.growth import (
    Growth,
    find_saturation,
    fit_growth,
    withheld,
    withhold_growth,
)
from seqprof.analysis.scale.scaled_in_words import (
    batches_in_words,
    growth_in_words,
    meetings_in_words,
)
from seqprof.analysis.scale.summary import (
    BatchGrowth,
    LengthGrowth,
    Measure,
    Meeting,
    Phase,
    Point,
    ScaledSummary,
)
from seqprof.analysis.statistics import missing
from seqprof.recording import Candidate, Recording, Trial

#: Label and batch size of points that lie along T.
Line = tuple[str, int | None]
#: Peaks of two processes that are nearer to each other than this cannot be told apart.
RESIDENT_NOISE = 0.05
PHASES: tuple[Phase, ...] = ("forward", "backward", "step")


@dataclass(frozen=True, slots=True)
class _Measured:
    point: Point
    series: RoundTimes
    contended: str | None = None


def summarise_scaling(recording: Recording) -> ScaledSummary:
    """Derive everything that a scaling's report shows."""
    measured = [
        _measured(recording, candidate, trial)
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
            *candidate_caveats(recording),
            *contended_rounds(recording.trials),
            *_uneven_tokens(lines),
            *find_artefacts(recording),
        ),
        sentences=(
            *growth_in_words(lengths),
            *batches_in_words(batches),
            *meetings_in_words(crossovers),
        ),
    )


def _measured(recording: Recording, candidate: Candidate, trial: Trial) -> _Measured:
    calm = undisturbed(trial)
    return _Measured(
        point=_point(recording, candidate, calm),
        series=rounds_of(calm),
        contended=contention_of(trial, recording.environment.cores, candidate.threads),
    )


def _point(recording: Recording, candidate: Candidate, trial: Trial) -> Point:
    series, failed = rounds_of(trial), failure_of(trial)
    absent = failed or "no round was measured"
    findings = find(replace(recording, spec=candidate.spec), trial)
    busy, source = busy_of(recording, candidate, trial, findings)
    timesteps, batch_size = trial.workload.sizes
    return Point(
        label=candidate.label,
        timesteps=timesteps,
        batch_size=batch_size,
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
    growth = fit_growth([size for size, _ in times], [value for _, value in times])
    return withhold_growth(growth, _contention(own))


def _contention(own: Sequence[_Measured]) -> str | None:
    """Say why nothing can be concluded from these points: at some, others had the processor."""
    return next((m.contended for m in own if m.contended is not None), None)


def _batches(measured: Sequence[_Measured]) -> list[BatchGrowth]:
    groups: dict[tuple[str, int], list[_Measured]] = {}
    for m in measured:
        groups.setdefault((m.point.label, m.point.timesteps), []).append(m)
    points = []
    for (label, timesteps), own in groups.items():
        times = [(m.point.batch_size, value) for m in own for value in m.series.step]
        sizes, seconds = [size for size, _ in times], [value for _, value in times]
        if len(set(sizes)) > 1:
            points.append(
                BatchGrowth(
                    label=label,
                    timesteps=timesteps,
                    growth=withhold_growth(fit_growth(sizes, seconds), _contention(own)),
                    saturation=withheld(find_saturation(sizes, seconds), _contention(own)),
                )
            )
    return points


def _meetings(lines: Mapping[Line, Sequence[_Measured]]) -> list[Meeting]:
    quantities: tuple[Measure, ...] = ("step", "peak_memory")
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
    one: Line, other: Line, lines: Mapping[Line, Sequence[_Measured]], quantity: Measure
) -> Crossover:
    first, second = _costs(lines[one], quantity), _costs(lines[other], quantity)
    names = (one[0], other[0])
    if quantity == "step":
        reason = _contention([*lines[one], *lines[other]])
        return no_crossover(reason) if reason else find_crossover(first, second, names=names)
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


def _costs(own: Sequence[_Measured], quantity: Measure) -> dict[int, Sequence[float]]:
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
