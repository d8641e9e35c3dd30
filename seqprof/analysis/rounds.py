"""The rounds of a trial of `compare` or `scale`: each the median of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqprof.analysis.phases import phase_clock, phase_time
from seqprof.analysis.statistics import Estimate, estimate_median, median, median_interval
from seqprof.recording import Step, Trial

METHOD = "median over rounds"
BUSY_METHOD = "process CPU time / (wall time x threads), median over rounds"


@dataclass(frozen=True, slots=True)
class Series:
    """Times of each round, seconds; ``rounds[i]`` says which round entry i is of."""

    rounds: tuple[int, ...]
    step: tuple[float, ...]
    forward: tuple[float, ...]
    backward: tuple[float, ...]


def rounds_of(trial: Trial) -> Series:
    """Return the rounds; steps within one are not independent, so each counts once."""
    clock = phase_clock(trial)
    grouped: dict[int, list[Step]] = {}
    for step in trial.steps:
        grouped.setdefault(step.pair, []).append(step)

    def each(value: Callable[[Step], float]) -> tuple[float, ...]:
        return tuple(median(value(step) for step in steps) for steps in grouped.values())

    def phase(step: Step, name: str) -> float:
        return phase_time(step.phases[name], clock) or 0.0

    return Series(
        rounds=tuple(grouped),
        step=each(lambda step: step.wall_s),
        forward=each(lambda step: phase(step, "forward")),
        backward=each(lambda step: phase(step, "backward")),
    )


def relative_width(steps: Sequence[Step]) -> float:
    """Return half the interval of the median over rounds, over the median; infinite below six."""
    grouped: dict[int, list[float]] = {}
    for step in steps:
        grouped.setdefault(step.pair, []).append(step.wall_s)
    medians = [median(walls) for walls in grouped.values()]
    interval = median_interval(medians)
    return math.inf if interval is None else (interval[1] - interval[0]) / 2 / median(medians)


def together(a: Series, b: Series) -> tuple[list[float], list[float]]:
    """Return the step times of the rounds that both have."""
    of_a, of_b = (dict(zip(s.rounds, s.step, strict=True)) for s in (a, b))
    common = [round_ for round_ in of_a if round_ in of_b]
    return [of_a[r] for r in common], [of_b[r] for r in common]


def estimate_rounds(values: Sequence[float], absent: str) -> Estimate:
    """Return the median over rounds, in seconds, with its interval."""
    return estimate_median(values, unit="s", method=METHOD, absent=absent)


def core_busy(trial: Trial, threads: int, absent: str) -> Estimate:
    """Return how busy the cores were that torch may use.

    From whole rounds: where the CPU time is from the process's clock, the system brings that of
    other threads up to date every few milliseconds only, too coarse for one short step.
    """
    cpu_s: dict[int, float] = {}
    wall_s: dict[int, float] = {}
    for step in trial.steps:
        used = sum(timing.cpu_s for timing in step.phases.values())
        cpu_s[step.pair] = cpu_s.get(step.pair, 0.0) + used
        wall_s[step.pair] = wall_s.get(step.pair, 0.0) + step.wall_s
    shares = [cpu_s[round_] / (wall_s[round_] * threads) for round_ in cpu_s]
    return estimate_median(shares, unit="1", method=BUSY_METHOD, absent=absent)
