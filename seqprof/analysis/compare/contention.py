"""What other programs' load leaves of rounds: which can be concluded from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seqprof.analysis.compare.rounds import others_rounds, undisturbed
from seqprof.analysis.host_load import (
    MOST_WAITING,
    is_contended,
    undisturbed_threads,
    waiting_share,
)
from seqprof.analysis.run.caveats.caveat import Caveat
from seqprof.recording import HostLoad, Trial


def contention_of(trial: Trial, cores: int, threads: int | None) -> str | None:
    """Say why nothing follows from a point, and what would help; None where something does.

    Args:
        trial: a point, with all its rounds.
        cores: processors that the process may run on.
        threads: that torch may use; None where that is not known.
    """
    load = trial.host
    if load is None:
        return None
    if others_rounds(trial):
        left = undisturbed(trial)
        if len(left.steps) < len(trial.steps):
            return None
    elif not is_contended(load):  # as in a recording that does not say which rounds
        return None
    return why_contended(load, cores, threads)


def why_contended(load: HostLoad, cores: int, threads: int | None) -> str:
    """Say what others took, and what would help."""
    return f"not measurable now: {_others(load, cores)}; {_remedy(load, cores, threads)}"


def _others(load: HostLoad, cores: int) -> str:
    if load.others_s is None:
        return f"threads waited for a processor {waiting_share(load):.0%} of the time"
    share = min(load.others_s / (load.window_s * cores), 1.0)
    return f"others used {share:.0%} of the processor"


def _remedy(load: HostLoad, cores: int, threads: int | None) -> str:
    free = undisturbed_threads(load, cores)
    if free is None:
        return "repeat it with --set measure.threads=free"
    if free == 0 or (threads is not None and threads <= free):
        return "repeat it where fewer other programs run"
    number = "1 thread" if free == 1 else f"{free} threads"
    return f"{number} would do: repeat it with --set measure.threads={free}"


def contended_rounds(trials: Sequence[Trial]) -> Iterator[Caveat]:
    """Tell of rounds that are left out because others had the processor."""
    number = sum(len(others_rounds(trial)) for trial in trials)
    if not number:
        return
    rounds = sum(len({step.pair for step in trial.steps}) for trial in trials)
    too_few = [t for t in trials if others_rounds(t) and undisturbed(t) is t]
    left_out = "Others had the processor in some rounds. They are left out, and others were taken "
    left_out += "instead where there was time"
    yield Caveat(
        kind="contended_rounds",
        severity="warning" if too_few else "note",
        text=f"{left_out}; where too few are left, nothing is concluded but what waiting cannot "
        "have made"
        if too_few
        else left_out,
        evidence=f"in {number} of {rounds} rounds threads waited for a processor more than "
        f"{MOST_WAITING:.0%} of the time"
        + (f"; {len(too_few)} of {len(trials)} have too few others" if too_few else ""),
        remedy="--set measure.threads=free takes as many threads as cores are free",
    )
