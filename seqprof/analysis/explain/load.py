"""How much of the time others had the processor, and how far that may have moved a figure."""

from __future__ import annotations

from dataclasses import replace

from seqprof.analysis.explain.claim import Evidence
from seqprof.analysis.host_load import waiting_share
from seqprof.analysis.statistics import Estimate
from seqprof.recording import HostLoad

#: More is not taken off: a step that waited all the time would tell nothing at all.
_MOST = 0.99
#: Below this it does not explain noise.
_WORDS_FROM = 0.1


def waited(evidence: Evidence, label: str, timesteps: int, batch_size: int) -> float:
    """Return the share of the time in which a point's steps waited for a processor.

    That is how much shorter they may have been without others: by what the scheduler let threads
    wait, and by what a hypervisor took away.
    """
    scaling = evidence.facts.scaling
    if scaling is None:
        return 0.0
    cores = scaling.environment.cores
    shares = [
        _share(trial.host, cores)
        for candidate, trial in zip(scaling.candidates, scaling.trials, strict=True)
        if candidate.label == label
        and trial.workload.sizes == (timesteps, batch_size)
        and trial.host is not None
    ]
    return max(shares, default=0.0)


def _share(load: HostLoad, cores: int) -> float:
    if load.window_s <= 0.0:
        return 0.0
    stolen_s = (load.steal_s or 0.0) / max(1, cores)
    return min(_MOST, waiting_share(load) + stolen_s / load.window_s)


def most_waited(evidence: Evidence, label: str) -> float:
    """Return the largest of these shares over all points of a candidate."""
    points = () if evidence.scaled is None else evidence.scaled.points
    return max(
        (waited(evidence, label, p.timesteps, p.batch_size) for p in points if p.label == label),
        default=0.0,
    )


def in_words(share: float) -> str:
    """Say who had the processor, as a reason."""
    return f"others used the processor: threads waited for it {share:.0%} of the time"


def beside_others(share: float, text: str) -> str:
    """Return a text about noise, after what made it where that is known."""
    return text if share < _WORDS_FROM else f"{in_words(share)}; {text}"


def few_rounds(evidence: Evidence, label: str) -> str:
    """Say why there are too few rounds for an interval."""
    text = "too few rounds fitted into the budget for an interval"
    return beside_others(most_waited(evidence, label), text)


def without_others(ratio: Estimate, over: float, under: float) -> Estimate:
    """Widen the interval of a ratio of times by what each of them may have been shorter.

    Args:
        over: the share that the time above the line waited.
        under: that of the time below it.
    """
    if ratio.low is None or ratio.high is None:
        return ratio
    return replace(ratio, low=ratio.low * (1.0 - over), high=ratio.high / (1.0 - under))
