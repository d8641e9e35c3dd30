"""What a foreign loop is, in words."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from seqprof.recording import ForeignLoop

_FROM = {
    "fetch": "from one fetch of a batch to the next",
    "optimizer": "from one optimizer step to the next (nothing is fetched from a DataLoader)",
    "backward": "from one backward to the next (no optimizer is stepped)",
    "step": "from one call of step() to the next",
    "forward": "one forward (there is no backward)",
}


def iteration_in_words(loop: ForeignLoop) -> str:
    """As in: from one fetch of a batch to the next; 4 rounds each; 1 update skipped."""
    return "; ".join([_FROM[loop.boundary], *_counts(loop)])


def _counts(loop: ForeignLoop) -> Iterator[str]:
    if loop.window > 1:
        yield f"window {loop.window}, after {_number(loop.steps_before, 'step')}"
    finished = [iteration for iteration in loop.iterations if iteration.finished]
    yield _number(len(finished), "step")
    rounds = sorted({iteration.rounds for iteration in finished})
    if rounds and rounds != [1]:
        usual = f"{median(iteration.rounds for iteration in finished):g}"
        yield f"{usual} forward/backward rounds in each" + ("" if len(rounds) == 1 else " (median)")
    updates = sum(iteration.updates for iteration in finished)
    if updates not in (0, len(finished)):
        yield _number(updates, "optimizer step")
    skipped = sum(iteration.skipped for iteration in finished)
    if skipped:
        yield f"{_number(skipped, 'update')} skipped by the GradScaler"
    unfinished = len(loop.iterations) - len(finished)
    if unfinished:
        yield f"{_number(unfinished, 'step')} unfinished"
    if loop.evaluation_batches:
        yield f"{_number(loop.evaluation_batches, 'evaluation batch', 'es')} outside of steps"


def timesteps_in_words(loop: ForeignLoop) -> str:
    """T, as it was in the steps, and where it was read."""
    lengths = [t for iteration in loop.iterations for t in iteration.timesteps]
    if not lengths:
        return "T is not known"
    shortest, longest = min(lengths), max(lengths)
    span = f"{longest}" if shortest == longest else f"{shortest} to {longest}"
    source = loop.timesteps_source or "counted from the calls"
    modules = ", ".join(loop.timestep_modules)
    return f"T = {span} ({source})" + (f"; each timestep calls {modules}" if modules else "")


def _number(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{'' if count == 1 else plural}"
