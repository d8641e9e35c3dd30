"""What could not be told of a foreign loop, and why."""

from __future__ import annotations

from collections.abc import Iterator

from seqprof.analysis.loop.iterations import LoopAnalysis
from seqprof.analysis.loop.kinds import Kind
from seqprof.analysis.loop.process import ProcessLog


def what_is_unknown(log: ProcessLog, loop: LoopAnalysis) -> tuple[str, ...]:
    """Return one sentence for each thing that the events do not tell."""
    return tuple(_sentences(log, loop))


def _fetches(loop: LoopAnalysis) -> bool:
    """Whether a batch is fetched in steps, apart from evaluation's."""
    return any(span.kind == Kind.FETCH_IN for step in loop.iterations for span in step.spans)


def _sentences(log: ProcessLog, loop: LoopAnalysis) -> Iterator[str]:
    kinds = {event.kind for event in log.events}
    if Kind.FORWARD_IN not in kinds and (log.last_of("explored") or {}).get("compiled"):
        yield "forward, loss and data: compiled functions run there; they are in `other`"
    elif Kind.FORWARD_IN not in kinds:
        yield (
            "forward, loss and data: the script calls no module with parameters; what they took "
            "is in `other`"
        )
    elif loop.boundary != "fetch" and not _fetches(loop):
        yield (
            "data: nothing is fetched from a DataLoader; given is what passes between an update "
            "and the forward"
        )
    if loop.boundary == "forward":
        yield "backward and optimizer: there is neither; each forward is an iteration"
    if loop.boundary == "backward":
        yield "optimizer: no torch.optim.Optimizer is stepped; the update is in `other`"
    device = (log.last_of("process") or {}).get("device", {}).get("kind", "cpu")
    if device != "cpu" and log.all_of("loop") and not log.device_marks:
        yield (
            f"device time of a timestep: given is what the host spends; the {device} works behind "
            "it, and a timestep may contain waiting for an earlier one"
        )
    explored = log.last_of("explored")
    if explored and not any(t for _, t, _ in explored["sizes"]):
        yield "T: neither modules nor repeating operations tell the length of the sequences"
