"""What a step, its phases and its loops take in two recordings: series of steps, compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from seqprof.analysis.compare.points import failure_of
from seqprof.analysis.diff.metric_change import TIME, MetricChange, without_ratio
from seqprof.analysis.diff.settings_changed import contention, disturbed
from seqprof.analysis.diff.unpaired import METHOD, Runs, compare_runs, inverse, judge
from seqprof.analysis.quantities import Quantity
from seqprof.analysis.run.phases import (
    headline_steps,
    metered_steps,
    phase_clock,
    phase_time,
    steps_of,
)
from seqprof.analysis.run.quantities.run import PHASE_TIME, STEP_CPU_TIME, STEP_TIME, THROUGHPUT
from seqprof.analysis.run.quantities.timesteps import LOOP_TIME
from seqprof.analysis.statistics import Estimate, estimate_median, median, missing
from seqprof.recording import PHASES, Clock, Recording, Step, Trial

_OfStep = Callable[[Step], float | None]
_OfTrial = Callable[[Trial], list[float] | str]
_Steps = Callable[[Trial], Sequence[Step]]
#: Why processor times of two recordings cannot be held against each other.
CLOCKS_DIFFER = (
    "processor time is by the clock of the process in one, by those of its threads in the other"
)
#: Values of both sides, or in a side's place why there are none.
_Both = tuple[Runs | str, Runs | str]


@dataclass(frozen=True, slots=True)
class Sides:
    """The same workload in the runs of both sides."""

    base: Sequence[tuple[Recording, Trial]]
    new: Sequence[tuple[Recording, Trial]]

    @property
    def first(self) -> tuple[Trial, Trial]:
        """The trials of the first recordings, for what is not a time."""
        return self.base[0][1], self.new[0][1]

    @property
    def contention(self) -> tuple[float, float]:
        """Share of the threads that no core was free for, in the first recordings."""
        return _contention(*self.base[0]), _contention(*self.new[0])

    @property
    def processor_counts(self) -> bool:
        """Whether the processor trains and other programs competed for it in any run."""
        return any(
            disturbed(trial.host, recording.environment)
            and not recording.environment.device.is_accelerator
            for recording, trial in (*self.base, *self.new)
        )

    @property
    def one_cpu_clock(self) -> bool:
        """Whether processor time was counted alike in all runs."""
        return len({trial.cpu_clock for _, trial in (*self.base, *self.new)}) == 1

    def series(self, value: _OfTrial, lasts: _OfTrial | None = None) -> _Both:
        """Return a quantity of both sides.

        Args:
            value: it, of each step of a trial, or why there is none.
            lasts: seconds that what is measured lasts; None: ``value`` is these seconds.
        """
        return _series(self.base, value, lasts or value), _series(self.new, value, lasts or value)


def _contention(recording: Recording, trial: Trial) -> float:
    return contention(trial.host, recording.environment)


def _series(
    side: Sequence[tuple[Recording, Trial]], value: _OfTrial, lasts: _OfTrial
) -> Runs | str:
    known = []
    for _, trial in side:
        values = value(trial)
        if isinstance(values, str):
            return values
        known.append(values)
    seconds = [
        s for _, trial in side if not isinstance(values := lasts(trial), str) for s in values
    ]
    return Runs(known, [_contention(*part) for part in side], median(seconds) or None)


def compare_times(sides: Sides) -> Iterator[MetricChange]:
    """Yield the step, its processor time, the throughput, each phase, and the loops in them."""
    yield _timed(sides, STEP_TIME, None, _wall, _processor_time)
    yield _step_cpu_time(sides)
    yield _throughput(sides)
    yield from _phases(sides)
    yield from _loops(sides)


def series(trial: Trial, value: _OfStep, of: _Steps = headline_steps) -> list[float]:
    """Return a quantity of each step of a kind in order of time; of a comparison's, of each round.

    Steps of one round are not independent, so a round counts once, as its median.
    """
    rounds: dict[int, list[float]] = {}
    for step in of(trial):
        number = value(step)
        if number is not None:
            rounds.setdefault(step.pair, []).append(number)
    return [median(values) for values in rounds.values()]


def _wall(step: Step) -> float:
    return step.wall_s


def _processor_time(step: Step) -> float:
    return math.fsum(timing.cpu_s or 0.0 for timing in step.phases.values())


def _bounded(trial: Trial) -> Sequence[Step]:
    return steps_of(trial, "bounded")


def _of_steps(value: _OfStep, steps: _Steps = headline_steps) -> _OfTrial:
    def of(trial: Trial) -> list[float] | str:
        return series(trial, value, steps) or failure_of(trial) or "no step has it"

    return of


def _step_cpu_time(sides: Sides) -> MetricChange:
    made = _timed(sides, STEP_CPU_TIME, None, _processor_time, steps=metered_steps)
    if sides.one_cpu_clock:
        return made
    return replace(made, ratio=missing("1", METHOD, CLOCKS_DIFFER), fast=None, verdict=None)


def _witness(sides: Sides, processor: _OfStep) -> _Both | None:
    """Return processor times where they have to agree; None where they need not."""
    if not sides.processor_counts:
        return None
    if not sides.one_cpu_clock:
        return CLOCKS_DIFFER, CLOCKS_DIFFER
    return sides.series(_of_steps(processor, metered_steps))


def _timed(
    sides: Sides,
    quantity: Quantity,
    phase: str | None,
    value: _OfStep,
    processor: _OfStep | None = None,
    steps: _Steps = headline_steps,
) -> MetricChange:
    """Compare a time of steps.

    Args:
        processor: the processor time of the same part of a step; None where there is none.
        steps: which steps of a trial the time is from.
    """
    witness = None if processor is None else _witness(sides, processor)
    return _compared(quantity, phase, sides.series(_of_steps(value, steps)), witness=witness)


def _compared(
    quantity: Quantity,
    phase: str | None,
    both: _Both,
    *,
    loop: str | None = None,
    witness: _Both | None = None,
) -> MetricChange:
    base, new = both
    before, after = _estimate(base), _estimate(new)
    if isinstance(base, str) or isinstance(new, str):
        return without_ratio(quantity, phase, before, after, loop=loop)
    if min(*base.values, *new.values) <= 0.0:
        zero = "a time of zero has no ratio"
        return without_ratio(quantity, phase, before, after, loop=loop, reason=zero)
    change = compare_runs(base, new)
    processor = None if witness is None else _witnessed(*witness)
    return MetricChange(
        metric=quantity.key,
        phase=phase,
        loop=loop,
        base=before,
        new=after,
        ratio=change.ratio,
        fast=change.fast,
        processor=processor,
        verdict=judge(change.ratio, [w for w in (change.fast, processor) if w is not None], TIME),
        worse=quantity.worse,
    )


def _witnessed(base: Runs | str, new: Runs | str) -> Estimate:
    if isinstance(base, str) or isinstance(new, str):
        return missing("1", METHOD, base if isinstance(base, str) else str(new))
    if min(*base.values, *new.values) <= 0.0:
        return missing("1", METHOD, "the processor time was too short to be counted")
    return compare_runs(base, new).ratio


def _estimate(runs: Runs | str) -> Estimate:
    method = "median"
    if isinstance(runs, str):
        return missing("s", method, runs)
    return estimate_median(runs.values, unit="s", method=method, absent="")


def _throughput(sides: Sides) -> MetricChange:
    """Compare the seconds per timestep, turned over: the fast quartile is that of the times."""

    def each(step: Step) -> float | None:
        real = step.trained_positions
        return step.wall_s / real if real > 0 else None

    witness = _witness(sides, _processor_time)
    both = sides.series(_of_steps(each), lasts=_of_steps(_wall))
    turned = _compared(THROUGHPUT, None, both, witness=witness)
    return replace(
        turned,
        base=replace(inverse(turned.base), unit="1/s"),
        new=replace(inverse(turned.new), unit="1/s"),
        ratio=inverse(turned.ratio),
        fast=None if turned.fast is None else inverse(turned.fast),
        processor=None if turned.processor is None else inverse(turned.processor),
    )


def _phases(sides: Sides) -> Iterator[MetricChange]:
    clocks = {phase_clock(trial) for _, trial in (*sides.base, *sides.new)}
    steps = [step for trial in sides.first for step in _bounded(trial)]
    for phase in PHASES:
        if any(phase in step.phases for step in steps):
            yield _phase(sides, phase, clocks)


def _phase(sides: Sides, phase: str, clocks: set[Clock]) -> MetricChange:
    clock: Clock = "device" if "device" in clocks else "host"

    def time(step: Step) -> float | None:
        return phase_time(step.phases[phase], clock) if phase in step.phases else None

    def processor(step: Step) -> float | None:
        return step.phases[phase].cpu_s if phase in step.phases else None

    witness = processor if clock == "host" else None
    made = _timed(sides, PHASE_TIME, phase, time, witness, _bounded)
    if len(clocks) == 1:
        return made
    absent = missing("1", METHOD, "one was timed on the host's clock, the other on the device's")
    return replace(made, ratio=absent, fast=None, verdict=None)


def _loops(sides: Sides) -> Iterator[MetricChange]:
    """Compare the loops over timesteps, first mark to last; from the probed steps."""
    clock = phase_clock(sides.first[1])
    keys = dict.fromkeys(
        (x.loop, x.phase) for trial in sides.first for x in trial.latencies if x.clock == clock
    )
    for loop, phase in keys:
        yield _compared(LOOP_TIME, phase, sides.series(_spans(loop, phase, clock)), loop=loop)


def _spans(loop: str, phase: str, clock: Clock) -> _OfTrial:
    def of(trial: Trial) -> list[float] | str:
        spans = [
            seconds
            for step in steps_of(trial, "probed")
            for timing in step.loops
            if (timing.loop, timing.phase) == (loop, phase)
            if (seconds := timing.host_s if clock == "host" else timing.device_s) is not None
        ]
        return spans or trial.timesteps_reason or "no probed step has this loop"

    return of
