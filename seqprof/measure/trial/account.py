"""One step that is counted rather than timed: operations and peak memory of each phase."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import torch

from seqprof.analysis.run.kernels import kind_of_kernels
from seqprof.instruments.backward_calls import BackwardCalls
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.memory import PeakMemory, peak_memory
from seqprof.instruments.operations import OperationCounter, OperationTallies
from seqprof.instruments.timesteps import TimestepProbe
from seqprof.measure.trial.collect import timestep_operations
from seqprof.recording import (
    LengthCount,
    OperationCount,
    Phase,
    PhaseAccount,
    TimestepOperations,
    Workload,
)
from seqprof.workloads.listeners import SILENCE
from seqprof.workloads.step import TrainingStep

#: Steps that are counted until one is of another length, where no prefix can be taken.
_TRIED_FOR_ANOTHER_LENGTH = 4


@dataclass(frozen=True, slots=True)
class CountedStep:
    """What one counted step came to.

    Attributes:
        phases: operations and peak memory of each phase.
        timesteps: operations of each timestep of a loop.
        by_name: forward and backward operations, the most frequent first.
        backwards_inside: of the step of the user's own, in its forward and loss.
        by_length: operations of a forward, of this length and of another, where these tell whether
            they grow with T.
        flops: of matrix products, convolutions and attention in the step, by torch's formulas.
        flops_reason: why they are not known.
    """

    phases: tuple[PhaseAccount, ...] = ()
    timesteps: tuple[TimestepOperations, ...] = ()
    by_name: tuple[OperationCount, ...] = ()
    by_length: tuple[LengthCount, ...] = ()
    flops: int | None = None
    flops_reason: str | None = None
    backwards_inside: int = 0


class _PhaseAccounts:
    """Reads the counter and the peak at every phase boundary."""

    def __init__(self, counter: OperationCounter, memory: PeakMemory | None) -> None:
        self._counter = counter
        self._memory = memory
        self._running: Phase | None = None
        self._count_before = 0
        self.operations: dict[Phase, int] = {}
        self.peaks: dict[Phase, int] = {}

    def enter(self, phase: Phase) -> None:
        self.end()
        self._running = phase
        self._counter.begin_phase(phase)
        self._count_before = self._counter.count
        if self._memory is not None:
            self._memory.reset()

    def before_the_backward(self) -> bool:
        """Whether the step is in its forward or its loss."""
        return self._running in ("forward", "loss")

    def end(self) -> None:
        phase = self._running
        if phase is None:
            return
        launched = self._counter.count - self._count_before
        self.operations[phase] = self.operations.get(phase, 0) + launched
        if self._memory is not None:
            self.peaks[phase] = max(self.peaks.get(phase, 0), self._memory.peak_bytes())
        self._running = None


def account(
    step: TrainingStep, device: torch.device, loops: Sequence[TimestepLoop], compiled: bool
) -> CountedStep:
    """Run one counted step.

    Args:
        step: the training step.
        device: where it runs.
        loops: timestep modules; may be empty.
        compiled: operations are not counted then, because counting would uncompile the model.
    """
    memory, memory_reason = peak_memory(device)
    tallies = OperationTallies(step.timesteps)
    accounts = _PhaseAccounts(tallies, memory)
    backwards = BackwardCalls(accounts.before_the_backward)
    probe = TimestepProbe(loops, tallies.read)
    probe.begin_step()
    if compiled:
        result = step.run(accounts, SILENCE)
    else:
        try:
            with tallies, backwards:
                result = step.run(accounts, probe if loops else SILENCE)
        finally:
            probe.end_forward()  # also where the step failed: modules get their `forward` back
    reasons = [
        memory_reason,
        "operations of a compiled model are not counted" if compiled else None,
    ]
    rows = tuple(
        PhaseAccount(
            phase=phase,
            operations=None if compiled else operations,
            peak_memory_bytes=accounts.peaks.get(phase),
            memory_method=memory.method if memory is not None else None,
            reason="; ".join(r for r in reasons if r) or None,
        )
        for phase, operations in accounts.operations.items()
    )
    per_timestep = tuple(
        row for marks in probe.marks for row in timestep_operations(marks, result.timesteps)
    )
    marked = per_timestep if loops and not compiled else ()
    reason = _why_no_flops(tallies, compiled)
    flops = None if reason else tallies.flops.total
    by_name = _by_name(tallies)
    by_length = () if loops or compiled else _by_length(step, by_name, max(result.timesteps))
    return CountedStep(rows, marked, by_name, by_length, flops, reason, backwards.count)


def _by_length(
    step: TrainingStep, made: Sequence[OperationCount], timesteps: int
) -> tuple[LengthCount, ...]:
    """Count a second forward where it is open whether the first launched some for each timestep."""
    if step.micro_batches > 1 or kind_of_kernels(made, timesteps) != "unrolled":
        return ()
    launched = sum(count.calls for count in made if count.phase == "forward")
    counts = [LengthCount(timesteps=timesteps, operations=launched)]
    with suppress(Exception):  # one length has to do
        prefix = step.prefixes.nearest(max(2, timesteps // 2))
        for _ in range(1 if prefix else _TRIED_FOR_ANOTHER_LENGTH):
            tallies = OperationTallies(step.timesteps)
            accounts = _PhaseAccounts(tallies, None)
            with tallies:
                result = step.run(accounts, prefix=prefix)
            another = max(result.timesteps)
            if another != timesteps:
                launched = sum(c.calls for c in _by_name(tallies) if c.phase == "forward")
                counts.append(LengthCount(timesteps=another, operations=launched))
                break
    return tuple(counts)


def with_flops(workload: Workload, made: CountedStep, always_alike: bool) -> Workload:
    """Return the workload with counted FLOPs where its family has no formula.

    Args:
        always_alike: whether all steps have batches of one size.
    """
    if workload.flops_per_step is not None:
        return replace(workload, flops_source="formula")
    if not always_alike:
        return replace(workload, flops_reason="sequences and batches differ from step to step")
    if made.flops is None:
        return replace(workload, flops_reason=made.flops_reason or "no step was counted")
    return replace(workload, flops_per_step=made.flops, flops_reason=None, flops_source="counted")


def _why_no_flops(tallies: OperationTallies, compiled: bool) -> str | None:
    if compiled:
        return "operations of a compiled model are not counted"
    if tallies.flops.unknown:
        return f"torch has no formula for {', '.join(sorted(tallies.flops.unknown))}"
    return None if tallies.flops.total else "no matrix product was counted"


def _by_name(tallies: OperationTallies) -> tuple[OperationCount, ...]:
    phases: tuple[Literal["forward", "backward"], ...] = ("forward", "backward")
    return tuple(
        OperationCount(
            phase=phase,
            name=name,
            calls=tally.calls,
            sliced=tally.sliced,
            sliced_bytes=tally.sliced_bytes,
        )
        for phase in phases
        for name, tally in sorted(
            tallies.by_phase.get(phase, {}).items(), key=lambda item: -item[1].calls
        )
    )
