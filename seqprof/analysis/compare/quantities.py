"""The quantities of a candidate of a comparison, most of them those of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seqprof.analysis.compare.compared import CandidateSummary
from seqprof.analysis.quantities import (
    FLOP_RATE,
    RATIO,
    Quantity,
    Reader,
    Table,
    Value,
    by_key,
    of_phase,
    through,
    whole,
)
from seqprof.analysis.run.quantities.depth import LAW, Law
from seqprof.analysis.run.quantities.run import (
    CORE_BUSY_FRACTION,
    MODEL_FLOPS_UTILIZATION,
    NVML_UTILIZATION,
    PEAK_MEMORY,
    PHASE_TIME,
    STEP_TIME,
    THROUGHPUT,
)
from seqprof.analysis.run.quantities.timesteps import MARGINAL_TIME
from seqprof.analysis.statistics import Estimate

Read = Callable[[CandidateSummary], Estimate]


def _passes(forward: Read, backward: Read) -> Reader[CandidateSummary]:
    def values(candidate: CandidateSummary) -> Iterator[Value]:
        yield forward(candidate), {"phase": "forward"}
        yield backward(candidate), {"phase": "backward"}

    return values


def _busy(source: Quantity) -> Reader[CandidateSummary]:
    """Read the share of the step that was busy, where ``source`` is what gave it."""

    def values(candidate: CandidateSummary) -> Iterator[Value]:
        if candidate.busy_source == source.key:
            yield candidate.busy, {"phase": "step"}

    return values


def _against_baseline(candidate: CandidateSummary) -> Iterator[Value]:
    compared = candidate.against_baseline
    if compared is not None:
        yield compared.ratio, {"verdict": compared.verdict}


def _depth(candidate: CandidateSummary) -> Law:
    return candidate.depth


CANDIDATE: Table[CandidateSummary] = (
    (STEP_TIME, whole(lambda candidate: candidate.step)),
    (
        PHASE_TIME,
        _passes(lambda candidate: candidate.forward, lambda candidate: candidate.backward),
    ),
    (THROUGHPUT, whole(lambda candidate: candidate.tokens_per_s)),
    (
        MARGINAL_TIME,
        _passes(
            lambda candidate: candidate.marginal_forward,
            lambda candidate: candidate.marginal_backward,
        ),
    ),
    (PEAK_MEMORY, of_phase("step", lambda candidate: candidate.peak_memory)),
    (NVML_UTILIZATION, _busy(NVML_UTILIZATION)),
    (CORE_BUSY_FRACTION, _busy(CORE_BUSY_FRACTION)),
    (
        Quantity(
            key="flop_rate",
            dimension=FLOP_RATE,
            short="FLOP/s",
            label="FLOP/s",
            definition="Analytic FLOPs of matrix products per second.",
            group="comparison",
            better="larger",
            prometheus="flops_per_second",
        ),
        of_phase("step", lambda candidate: candidate.flops_per_s),
    ),
    (
        MODEL_FLOPS_UTILIZATION,
        of_phase("step", lambda candidate: candidate.model_flops_utilization),
    ),
    *through(LAW, _depth),
    (
        Quantity(
            key="step_time_ratio",
            dimension=RATIO,
            short="ratio",
            label="ratio to the baseline",
            definition="Step time of a candidate over the baseline's, in rounds in which both took "
            "turns.",
            group="comparison",
            better="smaller",
            prometheus="step_time",
        ),
        _against_baseline,
    ),
)
QUANTITIES = by_key(CANDIDATE)
