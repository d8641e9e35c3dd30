"""Recording of `compare` → all that its report shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from seqprof.analysis.artefacts import find_artefacts
from seqprof.analysis.caveats import Caveat
from seqprof.analysis.comparison import Comparison, compare
from seqprof.analysis.findings import Findings, find
from seqprof.analysis.kernels import Kernels, kind_of_kernels
from seqprof.analysis.rounds import Series, estimate_rounds, rounds_of, together
from seqprof.analysis.statistics import Estimate, missing
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
    busy_source: Literal["nvml_utilization", "core_busy_fraction"]
    flops_per_s: Estimate
    model_flops_utilization: Estimate
    depth: Annotated[DepthLaw | None, Meta(description="null in a recording older than this field")]
    against_baseline: Annotated[
        Comparison | None, Meta(description="null for the baseline itself and where one failed")
    ]


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
    held_equal: Annotated[tuple[str, ...], Meta(description="what is the same for all candidates")]
    lengths: tuple[LengthSummary, ...]
    caveats: tuple[Caveat, ...]
    sentences: Annotated[tuple[str, ...], Meta(description="the outcome in plain words")]


def summarise_comparison(recording: Recording) -> ComparedSummary:
    """Derive everything that a comparison's report shows."""
    lengths = tuple(
        _length(recording, timesteps, indices) for timesteps, indices in _lengths(recording)
    )
    return ComparedSummary(
        command=recording.command,
        created=recording.created,
        seed=recording.seed,
        environment=recording.environment,
        baseline=recording.baseline or recording.candidates[0].label,
        matched=recording.matched,
        held_equal=tuple(_held_equal(recording)),
        lengths=lengths,
        caveats=(*_incidents(recording), *_noise(lengths), *find_artefacts(recording)),
        sentences=tuple(_sentence(length, recording, len(lengths) > 1) for length in lengths),
    )


def _lengths(recording: Recording) -> list[tuple[int, list[int]]]:
    """Return the trials by length as it was asked for: a user's own data need not follow it."""
    groups: dict[int, list[int]] = {}
    labels = [candidate.label for candidate in recording.candidates]
    several = len(labels) > len(set(labels))
    for index, candidate in enumerate(recording.candidates):
        asked = candidate.spec["data"]["seq_len"] if several else 0
        groups.setdefault(asked, []).append(index)
    return list(groups.items())


def _length(recording: Recording, _: int, indices: list[int]) -> LengthSummary:
    cases = [(recording.candidates[index], recording.trials[index]) for index in indices]
    baseline = next((t for c, t in cases if c.label == recording.baseline), cases[0][1])
    first = baseline.workload
    return LengthSummary(
        timesteps=first.timesteps,
        batch_size=first.batch_size,
        candidates=tuple(
            _candidate(recording, candidate, trial, baseline) for candidate, trial in cases
        ),
    )


def _candidate(
    recording: Recording, candidate: Candidate, trial: Trial, baseline: Trial
) -> CandidateSummary:
    series, failed = rounds_of(trial), failure_of(trial)
    absent = failed or "no round was measured"
    step = estimate_rounds(series.step, absent)
    found = find(replace(recording, spec=candidate.spec), trial)
    idle = next(part for part in found.idle if part.phase == "step")
    accelerator = recording.environment.device.is_accelerator
    marginal = {cost.phase: cost.marginal for cost in found.marginal}
    return CandidateSummary(
        label=candidate.label,
        workload=trial.workload,
        kernels=kind_of_kernels(candidate.operations, trial.workload.timesteps, trial.depth),
        failed=failed,
        step=step,
        forward=estimate_rounds(series.forward, absent),
        backward=estimate_rounds(series.backward, absent),
        tokens_per_s=_per_second(_tokens(trial), step, "timesteps without padding / step time"),
        marginal_forward=marginal["forward"],
        marginal_backward=marginal["backward"],
        peak_memory=peak_memory(trial, failed),
        busy=idle.nvml_utilization if accelerator else idle.core_busy_fraction,
        busy_source="nvml_utilization" if accelerator else "core_busy_fraction",
        flops_per_s=_per_second(
            trial.workload.flops_per_step,
            step,
            "analytic FLOPs of matrix products / step time",
            trial.workload.flops_reason,
        ),
        model_flops_utilization=_utilization(found),
        depth=trial.depth,
        against_baseline=None if trial is baseline else _against(series, rounds_of(baseline)),
    )


def _utilization(found: Findings) -> Estimate:
    return next(part for part in found.idle if part.phase == "step").model_flops_utilization


def failure_of(trial: Trial) -> str | None:
    """Return why a trial has no times, or None."""
    if trial.steps:
        return None
    for incident in trial.incidents:
        if incident.kind == "out_of_memory":
            return f"out of memory at T = {trial.workload.timesteps}"
    return trial.incidents[0].detail if trial.incidents else "no round was measured"


def peak_memory(trial: Trial, failed: str | None) -> Estimate:
    """Return the largest peak of a step's phases; ``failed``: why the trial has no times."""
    peaks = [a for a in trial.accounts if a.peak_memory_bytes is not None]
    if not peaks:
        reason = next((a.reason for a in trial.accounts if a.reason), None)
        return missing("B", "peak memory", reason or failed or "it was not recorded")
    largest = max(peaks, key=lambda account: account.peak_memory_bytes or 0)
    method = largest.memory_method or "peak memory"
    return Estimate(value=largest.peak_memory_bytes, unit="B", method=method, n=1)


def _tokens(trial: Trial) -> float | None:
    if not trial.steps:
        return None
    return sum(s.positions - s.padded_positions for s in trial.steps) / len(trial.steps)


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


def _against(series: Series, baseline: Series) -> Comparison | None:
    a, b = together(series, baseline)
    return compare(a, b) if a else None


# What is told about it ------------------------------------------------------------------------


def _held_equal(recording: Recording) -> list[str]:
    workloads = [trial.workload for trial in recording.trials]
    told: dict[str, set[str]] = {
        "batch size": {str(w.batch_size) for w in workloads},
        "data": {w.data for w in workloads if len({x.timesteps for x in workloads}) == 1},
        "optimizer": {w.optimizer for w in workloads},
        "precision": {w.precision for w in workloads},
        "hidden size": {str(c.spec["model"]["hidden_size"]) for c in recording.candidates},
        "layers": {str(c.spec["model"]["layers"]) for c in recording.candidates},
    }
    own = any(candidate.spec["model"]["target"] for candidate in recording.candidates)
    return [
        f"{name} {next(iter(values))}"
        for name, values in told.items()
        if len(values) == 1 and not (own and name in ("hidden size", "layers"))
    ]


def _incidents(recording: Recording) -> list[Caveat]:
    found = []
    if any(i.kind == "interrupted" for trial in recording.trials for i in trial.incidents):
        found.append(
            Caveat(
                kind="interrupted",
                severity="error",
                text="The comparison was interrupted; what was measured until then is shown",
                evidence="Ctrl-C",
                remedy="run it again with fewer --rounds or a smaller --seq-len",
            )
        )
    found += [
        Caveat(
            kind=incident.kind,
            severity="warning",
            text=f"{candidate.label} at T = {trial.workload.timesteps}: "
            f"{incident.kind.replace('_', ' ')}",
            evidence=incident.detail,
            remedy="lower --seq-len or --batch",
        )
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
        for incident in trial.incidents
        if incident.kind != "interrupted"
    ]
    return found


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
    where = f"At T = {length.timesteps}, " if several else ""
    parts = []
    for candidate in length.candidates:
        found = candidate.against_baseline
        if candidate.failed:
            parts.append(f"{candidate.label}: {candidate.failed}")
        elif found is not None:
            parts.append(f"{candidate.label} {_told(found)}")
    baseline = recording.baseline or "the baseline"
    if not parts:
        return f"{where}{baseline} was measured alone."
    return f"{where}against {baseline}: {'; '.join(parts)}."


def _told(found: Comparison) -> str:
    ratio = found.ratio.value or 0.0
    if found.verdict == "faster":
        return f"is faster: a step takes {ratio:.2f} of the time"
    if found.verdict == "slower":
        return f"is slower: a step takes {ratio:.2f} times as long"
    if found.verdict == "equivalent":
        return "takes the same time, within 2%"
    if found.ratio.low is None:
        return f"was not told apart: {found.rounds} rounds are too few"
    return (
        f"was not told apart: the ratio is between {found.ratio.low:.2f} and {found.ratio.high:.2f}"
    )
