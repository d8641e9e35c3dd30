"""One step that is counted rather than timed: operations and peak memory of each phase."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from seqprof.instruments.loops import Loop
from seqprof.instruments.memory import PeakMemory, peak_memory
from seqprof.instruments.operations import OperationCounter
from seqprof.instruments.timesteps import TimestepProbe
from seqprof.measure.collect import timestep_operations
from seqprof.recording import Phase, PhaseAccount, TimestepOperations
from seqprof.workloads.step import SILENCE, TrainingStep


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
    step: TrainingStep,
    device: torch.device,
    loops: Sequence[Loop],
    calls: int,
    compiled: bool,
    counter: OperationCounter | None = None,
) -> tuple[tuple[PhaseAccount, ...], tuple[TimestepOperations, ...]]:
    """Run one counted step.

    Args:
        calls: calls of each timestep module in the step; ``loops`` may be empty.
        compiled: operations are not counted then, because counting would uncompile the model.
        counter: what counts them; None for a plain one.
    """
    memory, memory_reason = peak_memory(device)
    counter = counter or OperationCounter()
    accounts = _PhaseAccounts(counter, memory)
    probe = TimestepProbe(loops, calls, counter.read)
    every = [True] * calls
    probe.begin_step(every, every)
    if compiled:
        step.run(accounts, SILENCE)
    else:
        with counter:
            step.run(accounts, probe if loops else SILENCE)
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
        row for marks in probe.marks for row in timestep_operations(marks, step.timesteps)
    )
    return rows, per_timestep if loops and not compiled else ()
