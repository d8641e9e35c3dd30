"""The warm-up step that was counted → operations, memory and depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from seqprof.analysis.loop.marks import SIDES, MarkedPass, blocks
from seqprof.analysis.loop.process import Fact, ProcessLog
from seqprof.recording import (
    PHASES,
    DepthLaw,
    OperationCount,
    PhaseAccount,
    TimestepOperations,
    Workload,
)

_NO_MEMORY = "what was held could not be read"
_METHODS: dict[str, Literal["allocator_after_operations", "resident_set_after_operations"]] = {
    "allocator": "allocator_after_operations",
    "resident_set": "resident_set_after_operations",
}
_ONE_LENGTH = "counted in one step of the script, at one length"


def accounts(log: ProcessLog) -> tuple[PhaseAccount, ...]:
    """Operations and memory of each phase that was counted."""
    fact = log.last_of("operations") or {}
    counted, held = fact.get("counts", {}), fact.get("memory", {})
    return tuple(
        PhaseAccount(
            phase=phase,
            operations=counted[phase],
            peak_memory_bytes=held.get(phase),
            memory_method=_METHODS[fact["memory_method"]] if phase in held else None,
            reason=None if phase in held else _NO_MEMORY,
        )
        for phase in PHASES
        if phase in counted
    )


def operations(log: ProcessLog) -> tuple[OperationCount, ...]:
    """Forward and backward operations by name, the most frequent first."""
    rows = (log.last_of("operations") or {}).get("names", ())
    counts = [
        OperationCount(phase=phase, name=name, calls=calls, sliced=sliced, sliced_bytes=filled)
        for phase, name, calls, sliced, filled in rows
    ]
    return tuple(sorted(counts, key=lambda count: (count.phase != "forward", -count.calls)))


def depth(log: ProcessLog, workload: Workload) -> DepthLaw | None:
    """The chain of dependent operations of that step; None where no step was counted."""
    fact = (log.last_of("operations") or {}).get("depth")
    if fact is None:
        return None
    timesteps = workload.timesteps
    return DepthLaw(
        timesteps=timesteps,
        depth_ops=fact.get("depth"),
        work_ops=fact.get("work"),
        lengths=(timesteps,) if timesteps is not None and fact["reason"] is None else (),
        batch_size=workload.batch_size,
        reason=fact["reason"] or _ONE_LENGTH,
        source="step",
    )


def timestep_operations(log: ProcessLog) -> tuple[TimestepOperations, ...]:
    """Operations of each timestep of the first micro-batch, where all of them have marks."""
    loops = {fact["number"]: fact for fact in log.all_of("loop")}
    first: dict[int, MarkedPass] = {}
    for text in (log.last_of("operations") or {}).get("marks", ()):
        for block in blocks(bytes.fromhex(text)):
            first.setdefault(block.loop, block)
    return tuple(row for number, block in first.items() for row in _rows(block, loops[number]))


def _rows(block: MarkedPass, loop: Fact) -> Iterator[TimestepOperations]:
    for side in SIDES:
        counts = [count for count in block.spans(side, loop["per_timestep"]) if count is not None]
        if counts and len(counts) * loop["per_timestep"] == len(block.entries):
            yield TimestepOperations(
                loop=loop["path"],
                phase=side,
                operations=tuple(counts[::-1] if loop["reverse"] else counts),
            )
