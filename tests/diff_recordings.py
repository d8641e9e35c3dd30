"""Recordings whose difference from a base is known: a slower phase, a slower stretch, a load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from example_recordings import (
    CPU_PHASES,
    LOOP,
    change_trial,
    cpu_cell,
    latency,
    pairs,
    quiet_host,
    spec,
)

from seqprof.recording import Phase, Recording


def base() -> Recording:
    """The recording that the others are held against."""
    return cpu_cell()


def again() -> Recording:
    """The same program once more: other noise, nothing else."""
    return change_trial(base(), steps=pairs(CPU_PHASES, seed=7))


def slower(by: Mapping[Phase, float]) -> Recording:
    """The same program, some phases of which last so many times as long."""
    phases = {phase: seconds * by.get(phase, 1.0) for phase, seconds in CPU_PHASES.items()}
    return change_trial(base(), steps=pairs(phases, seed=7))


def slower_along(first: int, last: int, times: float) -> Recording:
    """The same program, whose timesteps ``first`` … ``last`` are slower in BPTT."""
    typical = 0.93 * CPU_PHASES["backward"] / 64
    slow = dict.fromkeys(range(first, last + 1), times)
    kept = [found for found in base().trials[0].latencies if found.phase == "forward"]
    made = latency("backward", typical, loop=LOOP, slow=slow, seed=5)
    return change_trial(again(), latencies=(*kept, made))


def contended(recording: Recording) -> Recording:
    """The recording of a machine on which another program kept a core busy."""
    return change_trial(
        recording,
        host=replace(quiet_host(), machine_busy_s=12.2 + 7.0, involuntary_switches=2_000),
    )


def held_up(times: float) -> Recording:
    """Steps that last so many times as long while the processor works no longer, beside others."""
    made = contended(slower({"forward": times, "backward": times}))
    steps = tuple(
        replace(
            step,
            phases={
                phase: replace(timing, cpu_s=own.phases[phase].cpu_s)
                for phase, timing in step.phases.items()
            },
        )
        for step, own in zip(made.trials[0].steps, again().trials[0].steps, strict=True)
    )
    return change_trial(made, steps=steps)


def wider() -> Recording:
    """A larger model, which is a change of the spec and comparable."""
    made = slower({"forward": 1.5, "backward": 1.5})
    return replace(made, spec=spec(model__hidden_size=512))


def longer() -> Recording:
    """Another T, which is not comparable."""
    work = base().trials[0].workload
    return change_trial(
        replace(base(), spec=spec(data__seq_len=128)), workload=replace(work, timesteps=128)
    )
