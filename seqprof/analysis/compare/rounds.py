"""The rounds of a trial of `compare` or `scale`: each the median of its steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from seqprof.analysis.host_load import MOST_WAITING
from seqprof.analysis.run.phases import (
    headline_steps,
    metered_steps,
    phase_clock,
    phase_time,
    steps_of,
)
from seqprof.analysis.statistics import (
    SMALLEST_INTERVAL,
    Estimate,
    estimate_median,
    median,
    median_interval,
)
from seqprof.recording import Step, Trial

METHOD = "median over rounds"
BUSY_METHOD = "process CPU time / (wall time x threads), median over rounds"


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Times of each round, seconds; ``rounds[i]`` says which round ``step[i]`` is of.

    Phases are from the rounds that have bounded steps.
    """

    rounds: tuple[int, ...]
    step: tuple[float, ...]
    forward: tuple[float, ...]
    backward: tuple[float, ...]


def rounds_of(trial: Trial) -> RoundTimes:
    """Return the rounds; steps within one are not independent, so each counts once."""
    clock = phase_clock(trial)
    headline = _by_round(headline_steps(trial))
    bounded = _by_round(steps_of(trial, "bounded"))

    def phase(name: str) -> tuple[float, ...]:
        times = (
            median([phase_time(step.phases[name], clock) or 0.0 for step in steps])
            for steps in bounded.values()
            if all(name in step.phases for step in steps)
        )
        return tuple(time for time in times if time > 0.0)  # 0: its clock has no time for it

    return RoundTimes(
        rounds=tuple(headline),
        step=tuple(median([step.wall_s for step in steps]) for steps in headline.values()),
        forward=phase("forward"),
        backward=phase("backward"),
    )


def _by_round(steps: Iterable[Step]) -> dict[int, list[Step]]:
    grouped: dict[int, list[Step]] = {}
    for step in steps:
        grouped.setdefault(step.pair, []).append(step)
    return grouped


def others_rounds(trial: Trial) -> tuple[int, ...]:
    """Return the rounds in which others had the processor.

    Older recordings hold those in which threads waited for one another as well: where others had it
    for less than such rounds need, there is none.
    """
    load = trial.host
    if load is None or load.others_s is None:
        return trial.contended_rounds
    inside_s = sum(step.wall_s for step in trial.steps if step.pair in trial.contended_rounds)
    had_s = load.others_s + (load.steal_s or 0.0)
    return trial.contended_rounds if had_s > MOST_WAITING * inside_s else ()


def undisturbed(trial: Trial) -> Trial:
    """Return the trial without the rounds in which others had the processor, if enough are left."""
    steps = _undisturbed(trial.steps, others_rounds(trial))
    return trial if len(steps) == len(trial.steps) else replace(trial, steps=tuple(steps))


def _undisturbed(steps: Sequence[Step], contended: Collection[int]) -> Sequence[Step]:
    left = [step for step in steps if step.pair not in contended]
    return left if len(_by_round(left)) >= SMALLEST_INTERVAL else steps


def relative_width(steps: Sequence[Step], contended: Collection[int] = ()) -> float:
    """Return half the interval of the median over rounds, over the median; infinite below six."""
    rounds = _by_round(step for step in _undisturbed(steps, contended) if step.kind == "bare")
    medians = [median([step.wall_s for step in steps]) for steps in rounds.values()]
    interval = median_interval(medians)
    return math.inf if interval is None else (interval[1] - interval[0]) / 2 / median(medians)


def together(
    a: RoundTimes, b: RoundTimes, without: Collection[int] = ()
) -> tuple[list[float], list[float]]:
    """Return the step times of the rounds that both have, less those ``without``."""
    of_a, of_b = (dict(zip(s.rounds, s.step, strict=True)) for s in (a, b))
    common = [round_ for round_ in of_a if round_ in of_b and round_ not in without]
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
    for step in metered_steps(trial):
        used = sum(timing.cpu_s or 0.0 for timing in step.phases.values())
        cpu_s[step.pair] = cpu_s.get(step.pair, 0.0) + used
        wall_s[step.pair] = wall_s.get(step.pair, 0.0) + step.wall_s
    shares = [cpu_s[round_] / (wall_s[round_] * threads) for round_ in cpu_s]
    return estimate_median(shares, unit="1", method=BUSY_METHOD, absent=absent)
