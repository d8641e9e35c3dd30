"""Small results of every kind with numbers that are the same on every machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from example_recordings import (
    CPU_PHASES,
    LOOP,
    accelerator,
    change_trial,
    cpu_cell,
    latency,
    pairs,
    workload,
)
from html_results import (
    changes,
    compared,
    depth,
    explanation,
    history,
    profiled,
    ranks,
    scaled,
    trace,
)

from seqprof.recording import Clock, DeviceSamples, Dwell, Incident, Recording, SampleSeries
from seqprof.reports.formats import Kind, Result, result_of

#: Every kind of character that ends something in one of the formats, or begins something worse.
HOSTILE = (
    "=cmd|' /C calc'!A0 \"quoted\", `ticks` ``two`` | <img src=x onerror=alert(1)></script>\n"
    'second line\r\n\\n {a="b"} [link](http://x) *bold* _it_ #1 @someone \x1b[31m\x00 \ud800 é漢 '
    "-->"
)
HOSTILE_STARTS = ("=1+1", "+1", "-1", "@SUM(1)", "\t=1")


_LATENCIES: tuple[tuple[Literal["forward", "backward"], float], ...] = (
    ("forward", 1e-3),
    ("backward", 2e-3),
)
_CLOCKS: tuple[Clock, ...] = ("host", "device")


def small_run() -> Recording:
    """Four timesteps, six pairs without noise, a slow timestep; on the CPU."""
    return change_trial(
        cpu_cell(),
        workload=workload(timesteps=4),
        steps=pairs(CPU_PHASES, count=6, noise=0.0),
        latencies=(
            latency("forward", 1e-3, timesteps=4, slow={2: 2.0}),
            latency("backward", 2e-3, timesteps=4),
        ),
        timestep_operations=(),
    )


def small_accelerator() -> Recording:
    """Likewise on an accelerator, with a dwell, samples, an incident and a profiled pass."""
    made = accelerator()
    at = (3.0, 3.1, 3.2, 3.3)
    return change_trial(
        made,
        workload=workload(timesteps=4),
        steps=pairs(CPU_PHASES, count=6, noise=0.0, device_scale=1.02),
        latencies=tuple(
            latency(phase, seconds, timesteps=4, clock=clock)
            for phase, seconds in _LATENCIES
            for clock in _CLOCKS
        ),
        dwells=(Dwell(phase="forward", started_at_s=5.0, ended_at_s=7.0, repeats=100),),
        samples=DeviceSamples(
            series=(
                SampleSeries(
                    metric="nvml_utilization",
                    source="NVML_GPU_UTILIZATION_SAMPLES",
                    at_s=at,
                    value=(0.25, 0.5, 0.75, 1.0),
                    window_s=0.166,
                ),
            )
        ),
        incidents=(Incident(kind="nvml_error", detail="lost", at_s=3.05),),
        profile=profiled(LOOP).trials[0].profile,
    )


def small(kind: Kind, folder: Path) -> Result:
    """One result of that kind."""
    if kind == "run":
        return result_of(small_run(), "run.json")
    if kind == "trace":
        return trace(folder)
    if kind == "ranks":
        return ranks()
    if kind == "depth":
        return depth()
    if kind == "explain":
        return explanation()
    if kind in ("diff", "history"):
        return changes() if kind == "diff" else history()
    return compared() if kind == "compare" else scaled()


def hostile_run(name: str = HOSTILE) -> Result:
    """A run whose model, loop, device, data and file have that name."""
    made = small_accelerator()
    device = replace(made.environment.device, name=name)
    trial = made.trials[0]
    profile = trial.profile
    assert profile is not None
    hostile = replace(
        change_trial(
            made,
            workload=workload(model=name, data=name, family=None, timesteps=4),
            latencies=tuple(replace(found, loop=name) for found in trial.latencies),
            incidents=(Incident(kind="step_failed", detail=name, at_s=3.05),),
            samples=DeviceSamples(reason=name),
            profile=replace(
                profile,
                activities=tuple(replace(a, name=name) for a in profile.activities),
            ),
        ),
        environment=replace(made.environment, device=device, torch=name),
    )
    return result_of(hostile, name)
