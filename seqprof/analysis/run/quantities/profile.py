"""The quantities of the profiled pass: one entry each, with how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from seqprof.analysis.quantities import RATIO, TIME, Quantity, Reader, Table, Value
from seqprof.analysis.run.profile import ProfileSummary
from seqprof.analysis.statistics import Estimate
from seqprof.recording import ProfiledPass, ProfiledPhase

#: Null in a recording that is older than the pass.
Pass = ProfileSummary | None

IDLE_TIME_BY_CAUSE = Quantity(
    key="idle_time_by_cause",
    dimension=TIME,
    short="idle",
    label="idle by cause",
    definition="Idle time on a timeline, by what ended each gap; the causes add up to the idle "
    "time.",
    group="profile",
    better="smaller",
    prometheus="idle_time_by_cause",
)
KERNEL_TIME = Quantity(
    key="kernel_time",
    dimension=TIME,
    short="total",
    label="kernel",
    definition="Time of all runs of a kernel; without a GPU, of an operator on the CPU.",
    group="profile",
    better="smaller",
)


def _slowdown(profile: Pass) -> Iterator[Value]:
    if profile is not None:
        yield profile.slowdown, {}


def _of_parts(read: Callable[[ProfiledPhase], float]) -> Reader[Pass]:
    def values(profile: Pass) -> Iterator[Value]:
        for part in _parts(profile):
            yield _mean(profile, read(part)), {"phase": part.phase}

    return values


def _idle_by_cause(profile: Pass) -> Iterator[Value]:
    for part in _parts(profile):
        for cause, seconds in part.idle_by_cause_s.items():
            yield _mean(profile, seconds), {"phase": part.phase, "cause": cause}


def _kernels(profile: Pass) -> Iterator[Value]:
    for total in profile.measured.activities if profile is not None else ():
        yield _mean(profile, total.total_s, "all runs in a step"), {"kernel": total.name}


def _parts(profile: Pass) -> tuple[ProfiledPhase, ...]:
    if profile is None:
        return ()
    made = profile.measured
    return made.phases if made.whole is None else (*made.phases, made.whole)


def _mean(profile: Pass, seconds: float, each: str = "mean") -> Estimate:
    assert profile is not None
    made: ProfiledPass = profile.measured
    what = "kernel timeline" if made.on == "device" else "operators on the processor stand in"
    return Estimate(value=seconds, unit="s", method=f"profiled steps, {each}: {what}", n=made.steps)


PROFILE: Table[Pass] = (
    (
        Quantity(
            key="profiler_slowdown",
            dimension=RATIO,
            short="slowdown",
            label="slowdown by the profiler",
            definition="Median of profiled steps over the median of bare ones.",
            group="profile",
            better="smaller",
            prometheus="profiler_slowdown",
        ),
        _slowdown,
    ),
    (
        Quantity(
            key="profiled_window",
            dimension=TIME,
            short="window",
            label="device window",
            definition="Device window of a phase in profiled steps, mean: the windows of the "
            "phases tile the step.",
            group="profile",
            better="smaller",
        ),
        _of_parts(lambda part: part.window_s),
    ),
    (
        Quantity(
            key="profiled_busy_time",
            dimension=TIME,
            short="busy",
            label="busy",
            definition="Union of all device activities in that window, mean over profiled steps.",
            group="profile",
        ),
        _of_parts(lambda part: part.busy_s),
    ),
    (
        Quantity(
            key="profiled_idle_time",
            dimension=TIME,
            short="idle",
            label="idle",
            definition="That window less its busy time, mean over profiled steps.",
            group="profile",
            better="smaller",
        ),
        _of_parts(lambda part: part.idle_s),
    ),
    (IDLE_TIME_BY_CAUSE, _idle_by_cause),
    (KERNEL_TIME, _kernels),
)
