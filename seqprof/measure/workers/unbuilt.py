"""What is said of a candidate, also of one that could not be built. Without torch."""

from __future__ import annotations

from seqprof.measure.workers.messages import Prepared
from seqprof.recording import Candidate, Workload
from seqprof.spec import Spec


def as_specified(spec: Spec) -> Workload:
    """What a candidate that could not be built was to be."""
    return Workload(
        model=spec.model.name or spec.model.target or "",
        family=spec.model.name,
        execution=spec.model.execution,
        parameters=None,
        data=spec.data.target or spec.data.kind or "text",
        batch_size=spec.data.batch_size,
        timesteps=spec.data.seq_len,
        precision=spec.train.precision,
        optimizer=spec.train.optimizer,
        micro_batches=spec.train.accumulate,
        truncate=spec.train.bptt.truncate,
        checkpointed=spec.train.checkpoint,
        flops_reason="it could not be built",
    )


def candidate_of(label: str, spec: Spec, prepared: Prepared | None) -> Candidate:
    """Return what a recording keeps of a candidate at one point."""
    threads = prepared.environment.threads if prepared else None
    return Candidate(label=label, spec=spec.model_dump(mode="json"), threads=threads)
