"""A profiled pass of `seqprof run` → what its recording keeps: means per step, in seconds.

The first recorded step only bounds the window of the second (a step's window reaches back to the
last activity of the step before), so it is left out where there are more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.accounts import Account, StepAccount
from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.phases import OTHER, OUTSIDE, Segments, settled_at
from seqprof.analysis.timeline.processor import outermost_operators
from seqprof.analysis.timeline.structure import Activities, Ints, Timeline
from seqprof.analysis.timeline.summary import (
    DeviceSummary,
    TraceSummary,
    summarise,
)
from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence
from seqprof.analysis.timeline.windows import busy, tile
from seqprof.recording import (
    ActivityTotal,
    ProfiledPass,
    ProfiledPhase,
    ProfiledTimesteps,
    RepeatedActivities,
)

NS = 1e-9
#: Kernels or operators that are named, the longest first.
MOST_TOTALS = 10
#: Caveats of a trace that say nothing about a pass that seqprof itself took.
_EXPECTED = {"no_device_activity", "no_steps"}
NO_KERNELS = (
    "torch.profiler recorded no activity of the device: another profiler (nsys, DCGM) may hold it, "
    "or the driver allows none; KINETO_LOG_LEVEL=0 before the command shows what Kineto says"
)
NO_OPERATORS = "torch.profiler recorded no operator"
NO_STEPS = "the trace holds no step"


class CallWindow(Struct, frozen=True):
    """Host window of one timestep, forward or backward, on the clock of the trace."""

    loop: str
    phase: Literal["forward", "backward"]
    timestep: int
    start_ns: int
    end_ns: int


def profiled_pass(
    timeline: Timeline, windows: Sequence[CallWindow] = (), device: int | None = None
) -> ProfiledPass:
    """Summarise a profiled pass.

    Args:
        timeline: what was recorded.
        windows: of timesteps, in any order; those outside the accounted steps are left out.
        device: index of the accelerator; None on the processor.

    Returns:
        The pass; with a reason and nothing else where the trace holds nothing to account.
    """
    summary = summarise(timeline)
    device_summary = _device(summary, device)
    on: Literal["device", "processor"] = "processor" if device is None else "device"
    if device_summary is None:
        return ProfiledPass(on=on, reason=NO_OPERATORS if device is None else NO_KERNELS)
    steps = device_summary.steps[1:] or device_summary.steps
    if not steps:
        return ProfiledPass(on=on, reason=NO_STEPS)
    activities = (
        outermost_operators(timeline)
        if device is None
        else timeline.activities.where(timeline.activities.device == device_summary.device)
    )
    first = _start_of(timeline, steps[0].step)
    settled = settled_at(timeline) if windows else np.empty(0, np.int64)
    accounted = [window for window in windows if window.start_ns >= first]
    return ProfiledPass(
        on=on,
        steps=len(steps),
        whole=_mean("step", steps),
        phases=_phases(steps),
        timesteps=tuple(_timesteps(activities, accounted, settled)),
        recurrences=tuple(map(_repeated, device_summary.recurrences)),
        activities=_totals(device_summary, summary.profiler_steps),
        launchless=device_summary.launchless,
        axis=device_summary.axis,
        quality=_quality(summary, device_summary),
    )


def _repeated(recurrence: Recurrence) -> RepeatedActivities:
    return RepeatedActivities(
        phase=recurrence.phase,
        repeats=recurrence.repeats,
        period=recurrence.period,
        latency_s=tuple(length * NS for length in recurrence.latency_ns),
        evidence="; ".join(recurrence.remarks),
        loops=recurrence.loops,
    )


def _device(summary: TraceSummary, device: int | None) -> DeviceSummary | None:
    if device is None:
        return summary.processor
    return next((candidate for candidate in summary.devices if candidate.device == device), None)


def _start_of(timeline: Timeline, step: str) -> int:
    host = timeline.host
    return int(host.start_ns[host.name == timeline.names.index(step)].min())


def _mean(phase: str, accounts: Sequence[Account], steps: int | None = None) -> ProfiledPhase:
    """Mean per step; integers are summed first, so that phases add up to their step."""
    count = steps or len(accounts)
    causes: dict[str, int] = {}
    for account in accounts:
        for cause, length in account.idle_by_cause_ns.items():
            causes[cause] = causes.get(cause, 0) + length
    return ProfiledPhase(
        phase=phase,
        window_s=sum(account.window_ns for account in accounts) / count * NS,
        busy_s=sum(account.busy_ns for account in accounts) / count * NS,
        idle_s=sum(account.idle_ns for account in accounts) / count * NS,
        activities=sum(account.activities for account in accounts) / count,
        idle_by_cause_s={cause: length / count * NS for cause, length in causes.items()},
    )


def _phases(steps: Sequence[StepAccount]) -> tuple[ProfiledPhase, ...]:
    by_phase: dict[str, list[Account]] = {}
    for step in steps:
        for account in step.phases:
            by_phase.setdefault(account.phase, []).append(account)
    return tuple(_mean(phase, accounts, len(steps)) for phase, accounts in by_phase.items())


def _totals(device: DeviceSummary, steps: int) -> tuple[ActivityTotal, ...]:
    return tuple(
        ActivityTotal(
            name=kernel.name,
            calls=kernel.count / steps,
            total_s=kernel.total_ns / steps * NS,
            share=kernel.share,
        )
        for kernel in device.kernels[:MOST_TOTALS]
    )


def _quality(summary: TraceSummary, device: DeviceSummary) -> tuple[str, ...]:
    return tuple(
        f"{caveat.message}: {caveat.effect}"
        for caveat in summary.caveats
        if caveat.code not in _EXPECTED and caveat.device in (None, device.device)
    )


# Timesteps ------------------------------------------------------------------------------------


def _timesteps(
    activities: Activities, windows: Iterable[CallWindow], settled_ns: Ints
) -> Iterable[ProfiledTimesteps]:
    def key(window: CallWindow) -> tuple[str, str]:
        return window.loop, window.phase

    for _, mine in groupby(sorted(windows, key=key), key=key):
        yield _loop(activities, sorted(mine, key=lambda window: window.start_ns), settled_ns)


def _loop(activities: Activities, windows: list[CallWindow], settled_ns: Ints) -> ProfiledTimesteps:
    """Device windows of the timesteps of one loop in one phase, over all steps."""
    segments = _segments(windows, settled_ns)
    segment = np.where(
        activities.launch >= 0,
        np.searchsorted(segments.start_ns, activities.launch_ns, side="right") - 1,
        -1,
    )
    tiled = tile(activities, segment, segments)
    busy_ns = tiled.within(busy(activities))
    idle_ns = tiled.length - busy_ns
    count = np.bincount(segment[segment >= 0], minlength=len(busy_ns))
    timesteps = max(window.timestep for window in windows) + 1
    means = {
        name: _by_timestep(tiled.step, values, timesteps)
        for name, values in (("busy", busy_ns), ("idle", idle_ns), ("count", count))
    }
    return ProfiledTimesteps(
        loop=windows[0].loop,
        phase=windows[0].phase,
        activities=_rounded(means["count"], 1.0, 3),
        busy_s=_rounded(means["busy"], NS, 12),
        idle_s=_rounded(means["idle"], NS, 12),
    )


def _segments(windows: list[CallWindow], settled_ns: Ints) -> Segments:
    """Host time cut at each window; ``step`` holds the timestep, OUTSIDE between windows."""
    starts, values = [np.iinfo(np.int64).min], [OUTSIDE]
    for window in windows:
        if starts[-1] == window.start_ns:  # it ends where the next begins
            starts.pop()
            values.pop()
        starts += [window.start_ns, window.end_ns]
        values += [window.timestep, OUTSIDE]
    begins = np.array(starts, dtype=np.int64)
    return Segments(
        np.maximum.accumulate(begins),
        np.array(values, dtype=np.int64),
        np.full(len(begins), OTHER, dtype=np.int64),
        settled_ns,
    )


def _by_timestep(timestep: Ints, values: Ints, timesteps: int) -> Mapping[int, float]:
    marked = timestep >= 0
    calls = np.bincount(timestep[marked], minlength=timesteps)
    sums = np.bincount(timestep[marked], weights=values[marked], minlength=timesteps)
    return {int(t): float(sums[t] / calls[t]) for t in distinct(timestep[marked])}


def _rounded(means: Mapping[int, float], unit: float, places: int) -> tuple[float | None, ...]:
    last = max(means)
    return tuple(round(means[t] * unit, places) if t in means else None for t in range(last + 1))
