"""What makes a comparison or a growth say something else than it seems to.

Each finder is silent where its cause is absent, and gives its evidence and a remedy where it is
not. They look at trials of `compare` and `scale`, whose operations were counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import log
from typing import Any

from seqprof.analysis.compare.comparison import compare
from seqprof.analysis.compare.rounds import RoundTimes, rounds_of, together
from seqprof.analysis.run.caveats.caveat import Caveat, by_severity
from seqprof.analysis.run.caveats.kernels import sliced_sequence, unflattened
from seqprof.analysis.run.kernels import fused_primitive, kind_of_kernels, operations_per_timestep
from seqprof.analysis.run.mfu import find_peak
from seqprof.analysis.run.precision import in_tf32
from seqprof.analysis.statistics import median
from seqprof.recording import Candidate, Environment, Recording, Trial

#: The backward's exponent over the forward's, from which growth itself is evidence.
FASTER_GROWTH = 0.1


@dataclass(frozen=True, slots=True)
class _Case:
    candidate: Candidate
    trial: Trial

    @property
    def length(self) -> int:
        return self.trial.workload.sizes[0]


def find_artefacts(recording: Recording) -> tuple[Caveat, ...]:
    """Return the artefacts of a comparison or a scaling, the gravest first."""
    cases = [
        _Case(candidate, trial)
        for candidate, trial in zip(recording.candidates, recording.trials, strict=True)
    ]
    return by_severity(
        *_sliced_sequence(cases),
        *_different_kernels(cases, recording.environment),
        *_different_precision(cases, recording.environment),
        *_unflattened(cases),
        *_packed(cases),
        *_oversubscribed(cases, recording.environment),
    )


def _by_label(cases: Sequence[_Case]) -> dict[str, list[_Case]]:
    labels: dict[str, list[_Case]] = {}
    for case in cases:
        labels.setdefault(case.candidate.label, []).append(case)
    return labels


def _sliced_sequence(cases: Sequence[_Case]) -> Iterator[Caveat]:
    for label, own in _by_label(cases).items():
        counted = [case.trial for case in own if case.trial.operations]
        if counted:
            largest = max(counted, key=lambda trial: trial.workload.sizes)
            yield from sliced_sequence(largest, label, _growth(own))


def _growth(own: Sequence[_Case]) -> str:
    """Say how the phases grew to the longest length, where the backward grew faster."""
    timed = sorted((case for case in own if rounds_of(case.trial).step), key=lambda c: c.length)
    pairs = [(a, b) for a, b in pairwise(timed) if a.length < b.length]
    if not pairs:
        return ""
    short, long = pairs[-1]
    grown = {}
    for phase in ("forward", "backward"):
        rounds = [getattr(rounds_of(case.trial), phase) for case in (short, long)]
        if not all(rounds):
            return ""
        times = [median(series) for series in rounds]
        grown[phase] = log(times[1] / times[0]) / log(long.length / short.length)
    if grown["backward"] < grown["forward"] + FASTER_GROWTH:
        return ""
    return (
        f"; from T = {short.length} to {long.length} the backward grew as "
        f"T^{grown['backward']:.2f}, the forward as T^{grown['forward']:.2f}"
    )


def _launches(case: _Case) -> float:
    trial = case.trial
    return operations_per_timestep(trial.operations, case.length, trial.operations_by_length)


def _different_kernels(cases: Sequence[_Case], environment: Environment) -> Iterator[Caveat]:
    """One candidate's recurrence is a fused primitive, another's is unrolled."""
    kinds: dict[str, dict[str, _Case]] = {"fused": {}, "unrolled": {}}
    for case in cases:
        trial = case.trial
        lengths = trial.operations_by_length
        kind = kind_of_kernels(trial.operations, case.length, trial.depth, lengths)
        if kind in kinds:
            kinds[kind].setdefault(case.candidate.label, case)
    fused, unrolled = kinds["fused"], kinds["unrolled"]
    if not fused or not unrolled:
        return
    primitive = fused_primitive(next(iter(fused.values())).trial.operations)
    launches = ", ".join(
        f"{label} launches {_launches(case):.1f} operations per timestep"
        for label, case in unrolled.items()
    )
    where = "this accelerator" if environment.device.is_accelerator else "the CPU"
    forms = " ".join(f"{label.partition('@')[0]}@cell" for label in fused)
    yield Caveat(
        kind="different_kernels",
        severity="warning",
        text=f"On {where} {_names(fused)} ran as one fused primitive and {_names(unrolled)} as a "
        "loop over timesteps: the difference between them is not the architecture's",
        evidence=f"forward, as dispatched: {', '.join(fused)} called {primitive}; {launches}",
        remedy=f"compare like with like: {forms} against {_names(unrolled)}",
    )


def _different_precision(cases: Sequence[_Case], environment: Environment) -> Iterator[Caveat]:
    """fp32 was TF32 for one candidate and fp32 for another."""
    peak = find_peak(environment.device.name)
    if peak is not None and peak.tf32 is None:
        return
    parts = {case.candidate.label: in_tf32(case.trial.workload, environment) for case in cases}
    fp32 = [case for case in cases if case.trial.workload.precision == "fp32"]
    exact = {case.candidate.label: case for case in fp32 if not parts[case.candidate.label]}
    rounded = {case.candidate.label: case for case in fp32 if parts[case.candidate.label]}
    if not exact or not rounded:
        return
    yield Caveat(
        kind="different_precision",
        severity="warning",
        text=f"fp32 was TF32 for {_names(rounded)} and fp32 for {_names(exact)}: they differ in "
        "precision as well",
        evidence=", ".join(f"{label}: {parts[label]}" for label in rounded)
        + "; torch's switches: "
        + ", ".join(f"{name}: {value}" for name, value in environment.fp32_precision.items()),
        remedy="give all the same: TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 before the command, or "
        "NVIDIA_TF32_OVERRIDE=0 for none",
    )


def _names(cases: dict[str, _Case]) -> str:
    return " and ".join(cases)


def _unflattened(cases: Sequence[_Case]) -> Iterator[Caveat]:
    for label, own in _by_label(cases).items():
        yield from unflattened(own[0].trial, label)


def _packed(cases: Sequence[_Case]) -> Iterator[Caveat]:
    """Two candidates that differ in the layout only, and the packed one is slower."""
    for one, other in combinations(cases, 2):
        layouts = {_layout(case): case for case in (one, other)}
        if set(layouts) != {"packed", "padded"} or _but_layout(one) != _but_layout(other):
            continue
        packed, padded = (rounds_of(layouts[name].trial) for name in ("packed", "padded"))
        ratio = _compared(packed, padded)
        if ratio is not None:
            yield Caveat(
                kind="packed_slower",
                severity="warning",
                text="Packed sequences are slower than padded ones here, although they compute "
                "less",
                evidence=f"{ratio:.2f} times the step time of the same batches padded, at T = "
                f"{one.length}",
                remedy="set data.lengths.layout: padded, or put sequences of similar length into "
                "a batch",
            )


def _compared(packed: RoundTimes, padded: RoundTimes) -> float | None:
    a, b = together(packed, padded)
    if not a:
        return None
    compared = compare(a, b)
    return compared.ratio.value if compared.verdict == "slower" else None


def _layout(case: _Case) -> str:
    layout: str = case.candidate.spec["data"]["lengths"]["layout"]
    return layout


def _but_layout(case: _Case) -> dict[str, Any]:
    spec = case.candidate.spec
    lengths = {**spec["data"]["lengths"], "layout": None}
    return {**spec, "data": {**spec["data"], "lengths": lengths}}


def _oversubscribed(cases: Sequence[_Case], environment: Environment) -> Iterator[Caveat]:
    """Threads that wait for each other, and candidates that were not given the same number."""
    threads = {label: _threads(own[0], environment) for label, own in _by_label(cases).items()}
    many = {label: count for label, count in threads.items() if count > environment.cores}
    if many:
        yield Caveat(
            kind="threads",
            severity="warning",
            text="torch uses more threads than there are cores: they wait for each other",
            evidence=f"{_counts(many)} threads on {environment.cores} cores",
            remedy=f"--set measure.threads={environment.cores}",
        )
    if len(set(threads.values())) > 1:
        yield Caveat(
            kind="different_threads",
            severity="warning",
            text="The candidates did not have equally many threads: that alone makes a difference",
            evidence=f"threads: {_counts(threads)}",
            remedy=f"give all of them as many: --set measure.threads={environment.cores}",
        )


def _threads(case: _Case, environment: Environment) -> int:
    return case.candidate.threads or environment.threads


def _counts(threads: dict[str, int]) -> str:
    """Write the number once where it is the same for all."""
    if len(set(threads.values())) == 1:
        return str(next(iter(threads.values())))
    return ", ".join(f"{label} {count}" for label, count in threads.items())
