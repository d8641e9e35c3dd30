"""Recording of `compare` → all that its report shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.compare.artefacts import find_artefacts
from seqprof.analysis.compare.candidate_caveats import candidate_caveats
from seqprof.analysis.compare.comparison import (
    EQUIVALENT_WITHIN,
    Comparison,
    beside_others,
    compare,
)
from seqprof.analysis.compare.contention import contended_rounds, why_contended
from seqprof.analysis.compare.points import busy_of, failure_of, of_step, peak_memory
from seqprof.analysis.compare.rounds import (
    estimate_rounds,
    others_rounds,
    rounds_of,
    together,
    undisturbed,
)
from seqprof.analysis.host_load import is_contended, waiting_share
from seqprof.analysis.run.caveats.caveat import Caveat, by_severity
from seqprof.analysis.run.findings import find
from seqprof.analysis.run.idle import IdleSource
from seqprof.analysis.run.kernels import Kernels, kind_of_kernels
from seqprof.analysis.statistics import SMALLEST_INTERVAL, Estimate, missing
from seqprof.analysis.wording import digits_of, rounded, span
from seqprof.recording import Candidate, DepthLaw, Environment, Recording, Trial, Workload

#: Half an interval over its value: from here on a cell is marked noisy.
NOISY = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSummary:
    """One candidate at one length."""

    label: str
    workload: Workload
    kernels: Annotated[Kernels, Meta(description="as dispatched, whatever the model is called")]
    failed: Annotated[str | None, Meta(description="why it has no times; null if it has")]
    step: Estimate
    forward: Estimate
    backward: Estimate
    tokens_per_s: Estimate
    marginal_forward: Annotated[Estimate, Meta(description="derived: seconds per timestep")]
    marginal_backward: Estimate
    peak_memory: Estimate
    busy: Estimate
    busy_source: IdleSource
    flops_per_s: Estimate
    model_flops_utilization: Estimate
    depth: Annotated[DepthLaw | None, Meta(description="null in a recording older than this field")]
    threads: Annotated[int | None, Meta(description="null where its process never started")]
    is_baseline: bool
    against_baseline: Annotated[
        Comparison | None, Meta(description="null for the baseline itself and where one failed")
    ]

    @property
    def standing(self) -> str:
        """The verdict, or what stands for it."""
        if self.failed:
            return "failed"
        if self.against_baseline is not None:
            return self.against_baseline.verdict
        return "baseline" if self.is_baseline else "not compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthSummary:
    """All candidates at one length and batch size."""

    timesteps: int
    batch_size: int
    candidates: tuple[CandidateSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSummary:
    """A whole comparison."""

    command: str
    created: str
    seed: int
    environment: Environment
    baseline: str
    matched: str | None
    matched_within: Annotated[
        float | None, Meta(description="largest distance of a candidate from the baseline in it")
    ]
    held_equal: Annotated[tuple[str, ...], Meta(description="what is the same for all candidates")]
    lengths: tuple[LengthSummary, ...]
    caveats: tuple[Caveat, ...]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]


def summarise_comparison(recording: Recording) -> ComparedSummary:
    """Derive everything that a comparison's report shows."""
    lengths = tuple(_length(recording, indices) for indices in _lengths(recording))
    return ComparedSummary(
        command=recording.command,
        created=recording.created,
        seed=recording.seed,
        environment=recording.environment,
        baseline=recording.baseline or recording.candidates[0].label,
        matched=recording.matched,
        matched_within=_matched_within(recording, lengths),
        held_equal=tuple(_held_equal(recording)),
        lengths=lengths,
        caveats=by_severity(
            *candidate_caveats(recording),
            *contended_rounds(recording.trials),
            *_noise(lengths),
            *_different_sizes(lengths),
            *find_artefacts(recording),
        ),
        sentences=tuple(_sentence(length, recording, len(lengths) > 1) for length in lengths),
    )


def _lengths(recording: Recording) -> list[list[int]]:
    """Return the trials by length as it was asked for: a user's own data need not follow it."""
    groups: dict[int, list[int]] = {}
    labels = [candidate.label for candidate in recording.candidates]
    several = len(labels) > len(set(labels))
    for index, candidate in enumerate(recording.candidates):
        length = candidate.spec["data"]["seq_len"] if several else 0
        groups.setdefault(length, []).append(index)
    return list(groups.values())


def _length(recording: Recording, indices: list[int]) -> LengthSummary:
    cases = [(recording.candidates[index], recording.trials[index]) for index in indices]
    baseline = next((t for c, t in cases if c.label == recording.baseline), cases[0][1])
    timesteps, batch_size = baseline.workload.sizes
    return LengthSummary(
        timesteps=timesteps,
        batch_size=batch_size,
        candidates=tuple(
            _candidate(recording, candidate, trial, baseline) for candidate, trial in cases
        ),
    )


def _candidate(
    recording: Recording, candidate: Candidate, trial: Trial, baseline: Trial
) -> CandidateSummary:
    whole, trial = trial, undisturbed(trial)
    series, failed = rounds_of(trial), failure_of(trial)
    absent = failed or "no round was measured"
    step = estimate_rounds(series.step, absent)
    findings = find(replace(recording, spec=candidate.spec), trial)
    marginal = {cost.phase: cost.marginal for cost in findings.marginal}
    no_marginal = missing("s", "derived", trial.sweep_reason or "no sweep was taken")
    busy, source = busy_of(recording, candidate, trial, findings)
    workload = trial.workload
    kernels = kind_of_kernels(
        trial.operations, workload.sizes[0], trial.depth, trial.operations_by_length
    )
    return CandidateSummary(
        label=candidate.label,
        workload=workload,
        kernels="compiled" if workload.compiled else kernels,
        failed=failed,
        step=step,
        forward=estimate_rounds(series.forward, absent),
        backward=estimate_rounds(series.backward, absent),
        tokens_per_s=_per_second(_tokens(trial), step, "timesteps without padding / step time"),
        marginal_forward=marginal.get("forward", no_marginal),
        marginal_backward=marginal.get("backward", no_marginal),
        peak_memory=peak_memory(trial, failed),
        busy=busy,
        busy_source=source,
        flops_per_s=_per_second(
            workload.flops_per_step,
            step,
            "analytic FLOPs of matrix products / step time",
            workload.flops_reason,
        ),
        model_flops_utilization=of_step(findings).model_flops_utilization,
        depth=trial.depth,
        threads=candidate.threads,
        is_baseline=whole is baseline,
        against_baseline=None
        if whole is baseline
        else _against(whole, baseline, recording.environment.cores, candidate.threads),
    )


def _tokens(trial: Trial) -> float | None:
    if not trial.steps:
        return None
    return sum(step.trained_positions for step in trial.steps) / len(trial.steps)


def _per_second(
    amount: float | None, step: Estimate, method: str, reason: str | None = None
) -> Estimate:
    if not amount or not step.value:
        return missing("1/s", method, (reason if not amount else step.reason) or "not measured")
    return Estimate(
        value=amount / step.value,
        low=amount / step.high if step.high else None,
        high=amount / step.low if step.low else None,
        unit="1/s",
        method=method,
        n=step.n,
    )


def _against(trial: Trial, baseline: Trial, cores: int, threads: int | None) -> Comparison | None:
    """Compare in the rounds in which others left both alone; in all where these are too few."""
    a, b = rounds_of(trial), rounds_of(baseline)
    contended = {*others_rounds(trial), *others_rounds(baseline)}
    left = together(a, b, without=contended)
    if contended and len(left[0]) >= SMALLEST_INTERVAL:
        return compare(*left)
    both = together(a, b)
    if not both[0]:
        return None
    waited = waiting_share(trial.host), waiting_share(baseline.host)
    worst = trial if waited[0] >= waited[1] else baseline
    if worst.host is None or not (contended or is_contended(worst.host)):
        return compare(*both)
    return beside_others(compare(*both), waited, why_contended(worst.host, cores, threads))


# What is told about it ------------------------------------------------------------------------


def _held_equal(recording: Recording) -> list[str]:
    workloads = [trial.workload for trial in recording.trials]
    models = [candidate.spec["model"] for candidate in recording.candidates]
    own = any(model["target"] for model in models)
    by_name: dict[str, set[str]] = {
        "batch size": {str(w.batch_size) for w in workloads},
        "data": {w.data for w in workloads if len({x.timesteps for x in workloads}) == 1},
        "optimizer": {w.optimizer for w in workloads},
        "precision": {w.precision for w in workloads},
        "hidden size": set() if own else {str(model["hidden_size"]) for model in models},
        "layers": set() if own else {str(model["layers"]) for model in models},
        "threads": {str(c.threads) for c in recording.candidates if c.threads},
    }
    return [f"{name} {next(iter(values))}" for name, values in by_name.items() if len(values) == 1]


def _matched_within(recording: Recording, lengths: tuple[LengthSummary, ...]) -> float | None:
    """Return the largest distance from the baseline in what was matched; at the first length."""
    if recording.matched not in ("params", "flops"):
        return None
    sizes = [
        c.workload.parameters if recording.matched == "params" else c.workload.flops_per_step
        for c in lengths[0].candidates
    ]
    labels = [c.label for c in lengths[0].candidates]
    target = sizes[labels.index(recording.baseline)] if recording.baseline in labels else None
    if target is None or any(value is None for value in sizes):
        return None
    return max(abs(value / target - 1) for value in sizes if value is not None)


def _different_sizes(lengths: tuple[LengthSummary, ...]) -> list[Caveat]:
    """Files may ask for other lengths and batches than the rest have."""
    sizes = {c.label: c.workload.sizes for c in lengths[0].candidates}
    if len(set(sizes.values())) == 1:
        return []
    return [
        Caveat(
            kind="different_sizes",
            severity="warning",
            text="The candidates were trained on batches of different sizes: the ratio of their "
            "step times is not one of like with like",
            evidence="; ".join(f"{label}: T = {t}, batch {b}" for label, (t, b) in sizes.items()),
            remedy="give all of them the same (--seq-len and --batch; data of your own by what "
            "makes them), or compare tokens/s",
        )
    ]


def noisy(estimate: Estimate) -> bool:
    """Whether the interval is wide for the value: half of it is 5 % or more."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return False
    return (estimate.high - estimate.low) / 2 >= NOISY * estimate.value


def _noise(lengths: tuple[LengthSummary, ...]) -> list[Caveat]:
    wide = [
        f"{c.label} at T = {length.timesteps}"
        for length in lengths
        for c in length.candidates
        if noisy(c.step)
    ]
    if not wide:
        return []
    return [
        Caveat(
            kind="noisy",
            severity="warning",
            text="The machine was not quiet: intervals marked ~ are wide",
            evidence=f"half of the interval is {NOISY:.0%} of the step time or more: "
            + ", ".join(wide),
            remedy="stop other programs, raise --rounds, or --set measure.threads=1",
        )
    ]


def _sentence(length: LengthSummary, recording: Recording, several: bool) -> str:
    where = f"At T = {length.timesteps:,}, " if several else ""
    baseline = recording.baseline or length.candidates[0].label
    parts, few = list[str](), list[CandidateSummary]()
    for candidate in length.candidates:
        if candidate.failed:
            parts.append(f"{candidate.label} has no times ({candidate.failed})")
        elif candidate.against_baseline is not None:
            if candidate.against_baseline.ratio.low is None:
                few.append(candidate)
            else:
                parts.append(f"{candidate.label} {_in_words(candidate.against_baseline)}")
    if few:
        parts.append(_too_few(few))
    answers = "; ".join(parts) or "there is no round in which both were measured"
    return f"{where}{'a' if where else 'A'}gainst {baseline}: {answers}."


def _in_words(comparison: Comparison) -> str:
    ratio = rounded(comparison.ratio.value or 0.0, digits_of(comparison.ratio))
    if comparison.verdict == "faster":
        return f"is faster: a step takes {ratio} of the time"
    if comparison.verdict == "slower":
        return f"is slower: a step takes {ratio} times as long"
    if comparison.verdict == "equivalent":
        return f"takes the same time, within {EQUIVALENT_WITHIN:.0%}"
    if comparison.withheld is not None:
        return f"was not told apart: {comparison.withheld}"
    assert comparison.ratio.low is not None
    assert comparison.ratio.high is not None
    return f"was not told apart: the ratio is {span(comparison.ratio.low, comparison.ratio.high)}"


def _too_few(candidates: list[CandidateSummary]) -> str:
    most = max(c.against_baseline.rounds for c in candidates if c.against_baseline)
    too_few = "1 round is" if most == 1 else f"{most} rounds are"
    return f"{', '.join(c.label for c in candidates)} not told apart: {too_few} too few"
