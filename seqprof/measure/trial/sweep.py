"""A short sweep of prefix lengths, from which the marginal cost of a timestep is derived."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Protocol

import torch

from seqprof.instruments.clocks import NS, EventPool, host_clock_ns, synchronize
from seqprof.instruments.phases import PhaseClock
from seqprof.recording import PhaseTiming, PrefixPoint
from seqprof.workloads.step import TrainingStep

#: Prefixes as quarters of the sequence: four lengths tell a line from a curve.
_PARTS = 4
#: Enough pairs of points for an interval of the slope; on a slow machine fewer must do.
ROUNDS, FEWEST_ROUNDS = 6, 3
#: Most steps that are run to come upon one as long as the first.
_MOST_TRIED = 12


class Held(Protocol):
    """Data whose batches of the last step can be had again."""

    def begin_step(self) -> None: ...

    def rewind(self) -> None: ...


def prefix_lengths(step: TrainingStep, timesteps: int) -> list[int]:
    """Lengths of the sweep that the model takes, ascending, the full one last; 2 or more each."""
    wanted = (max(2, timesteps * part // _PARTS) for part in range(1, _PARTS))
    shorter = {step.prefixes.nearest(length) for length in wanted if length < timesteps}
    return sorted({*(length for length in shorter if length is not None), timesteps})


def sweep(
    step: TrainingStep,
    device: torch.device,
    events: EventPool | None,
    seed: int,
    limit_s: float = math.inf,
    held: Held | None = None,
) -> Iterator[PrefixPoint]:
    """Yield one point a step; lengths are shuffled within a round so that drift is not growth.

    No round begins after ``limit_s``, except for the fewest that there must be.

    Args:
        held: gives the same batch for every point, where they differ in size; None where none does.
    """
    lengths = prefix_lengths(step, step.timesteps if held is None else _hold_one(step, held))
    clock = PhaseClock(events)
    order = random.Random(seed)
    for length in lengths:
        if held is not None:
            held.rewind()
        step.run(prefix=length)  # a new shape allocates and plans; none of it is timed
    began = host_clock_ns()
    for round_ in range(ROUNDS):
        if round_ >= FEWEST_ROUNDS and (host_clock_ns() - began) * NS > limit_s:
            return
        for length in order.sample(lengths, len(lengths)):
            clock.clear()
            if events is not None:
                events.reset()
            if held is not None:
                held.rewind()
            synchronize(device)
            start = host_clock_ns()
            step.run(clock, prefix=length)
            synchronize(device)
            seconds = (host_clock_ns() - start) * NS
            phases = clock.timings()
            yield PrefixPoint(
                round=round_,
                timesteps=length,
                forward_s=_phase_seconds(phases["forward"]),
                backward_s=_phase_seconds(phases["backward"]),
                step_s=seconds,
            )


def _hold_one(step: TrainingStep, held: Held) -> int:
    """Run steps until one is as long as the first; returns T of the last that was run."""
    longest = 0
    for _ in range(_MOST_TRIED):
        held.begin_step()
        longest = max(step.run().timesteps)
        if longest >= step.timesteps:
            break
    return longest


def _phase_seconds(timing: PhaseTiming) -> float:
    return timing.host_s if timing.device_s is None else timing.device_s
