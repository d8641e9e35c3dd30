"""How far a trace can be trusted: each defect as a caveat that says what it does to the result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.causes import CAUSES, Gaps
from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.phases import Phases
from seqprof.analysis.timeline.structure import NO_DEVICE, RUNTIME, Activities, Timeline
from seqprof.analysis.timeline.windows import busy

#: A queued kernel follows within microseconds; after this it waited for something unrecorded.
LONG_DEPENDENCY_NS = 1_000_000
#: Host and device clocks of a trace agree to about this; kernels seem to start so long before
#: their launch in any recording (pytorch/kineto#1380).
CLOCK_ERROR_NS = 2_000
#: An activity this many times further away than all others span has a wrong clock.
OUTLIER_DISTANCE = 10
#: At most this share of activities can be outliers; more is another part of the program.
OUTLIER_SHARE = 0.01
#: Characters of a kernel's name in a message.
_NAME = 40


class LargestGap(Struct, frozen=True, kw_only=True):
    """One gap that is most of all idle time; ``at_ns`` is since the device's first activity."""

    at_ns: int
    length_ns: int
    share_of_idle: float
    cause: str
    after: str
    before: str


class TraceCaveat(Struct, frozen=True, kw_only=True):
    """A defect of the trace and its effect. ``device`` is null if it concerns the whole trace."""

    code: str
    message: str
    effect: str
    device: int | None = None
    process: str | None = None


def one_gap(gap: LargestGap | None, device: int, process: str | None) -> Iterator[TraceCaveat]:
    """Name a single gap that is nearly all of idle."""
    if gap is not None:
        yield TraceCaveat(
            code="one_gap",
            message=f"one gap of {_ms(gap.length_ns)} is {gap.share_of_idle:.1%} of all idle time "
            f"({gap.cause}; {_ms(gap.at_ns)} after the start, behind {_short(gap.after)}, before "
            f"{_short(gap.before)})",
            effect="what bounds the device is judged without it",
            device=device,
            process=process,
        )


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def trace_caveats(timeline: Timeline, phases: Phases) -> Iterator[TraceCaveat]:
    """Defects of the file, and what it does not hold."""
    yield from _file_caveats(timeline)
    defects = timeline.defects
    if defects.negative_durations:
        yield TraceCaveat(
            code="negative_durations",
            message=f"{_count(defects.negative_durations, 'event')} with a negative duration",
            effect="they count as zero long",
        )
    if defects.missing_correlations:
        yield TraceCaveat(
            code="missing_correlations",
            message=f"{_count(defects.missing_correlations, 'activity')} without a correlation",
            effect="their launches cannot be found: they are among those without a recorded one",
        )
    for warning in defects.warnings:
        yield TraceCaveat(
            code="profiler_warning",
            message=f"the profiler warned: {warning}",
            effect="activities may be missing; busy time is then too small and idle too large",
        )
    if not len(timeline.activities):
        launched = bool((timeline.host.kind == RUNTIME).any())
        yield TraceCaveat(
            code="no_device_activity",
            message="the trace holds runtime calls but no device activity"
            if launched
            else "the trace holds no device activity",
            effect="operators on the processor are analysed instead; this is not device time",
        )
    if phases.nested_steps:
        yield TraceCaveat(
            code="nested_steps",
            message=f"{_count(phases.nested_steps, 'step')} around other steps (two profilers?)",
            effect="the inner steps are accounted, those around them are left out",
        )
    if not len(phases.steps):
        yield TraceCaveat(
            code="no_steps",
            message="no ProfilerStep marks (the profiler ran without a schedule or step())",
            effect="there are no per-step figures",
        )


def _file_caveats(timeline: Timeline) -> Iterator[TraceCaveat]:
    defects = timeline.defects
    if defects.truncated:
        yield TraceCaveat(
            code="truncated",
            message=f"the file ends early; {timeline.events} whole events were used",
            effect="what followed is missing from every figure",
        )
    if defects.damaged_events:
        yield TraceCaveat(
            code="damaged_events",
            message=f"{_count(defects.damaged_events, 'event')} damaged and left out",
            effect="their time is missing from every figure",
        )
    if defects.untimed_events:
        yield TraceCaveat(
            code="untimed_events",
            message=f"{_count(defects.untimed_events, 'event')} without a start or a duration",
            effect="they were left out",
        )
    if defects.repaired_text:
        yield TraceCaveat(
            code="repaired_text",
            message="the file is not valid JSON (nan or inf, bad escapes, bad UTF-8, control "
            "characters, or a comma too many)",
            effect="it was read all the same; only names and unused arguments are touched",
        )


def device_caveats(
    timeline: Timeline, recorded: Activities, activities: Activities, gaps: Gaps, phases: Phases
) -> Iterator[TraceCaveat]:
    """Defects in the activities of one device, as they were recorded and as they are accounted."""
    device = int(activities.device[0])
    for code, message, effect in (
        *_unknown_device(activities),
        *_launch_defects(activities, gaps),
        *_stream_overlaps(recorded, activities),
        *_longer_than_a_step(activities, phases),
        *_empty_steps(activities, phases),
        *_clock_outliers(activities),
        *_zero_durations(activities),
        *_long_dependencies(gaps),
    ):
        yield TraceCaveat(
            code=code, message=message, effect=effect, device=device, process=timeline.process
        )


_Found = Iterator[tuple[str, str, str]]


def _unknown_device(activities: Activities) -> _Found:
    if int(activities.device[0]) == NO_DEVICE:
        yield (
            "unknown_device",
            f"{_count(len(activities), 'activity')} without a device",
            "they are analysed as one device of their own; the others lack them",
        )


def _launch_defects(activities: Activities, gaps: Gaps) -> _Found:
    launched = activities.launch >= 0
    missing = int((~launched).sum())
    if missing:
        without = busy(activities).length - busy(activities.where(launched)).length
        unknown = int(gaps.cause_ns[:, CAUSES.index("unknown")].sum())
        yield (
            "launchless",
            f"{missing:,} of {_count(len(activities), 'activity')} without a recorded launch",
            f"they count as busy ({_ms(without)} that no other activity covers) but belong to no "
            f"phase; {_ms(unknown)} of idle before them has no known cause",
        )
    early = launched & (activities.start_ns < activities.launch_ns - CLOCK_ERROR_NS)
    if early.any():
        most = int((activities.launch_ns - activities.start_ns)[early].max())
        yield (
            "starts_before_launch",
            f"{_count(int(early.sum()), 'activity')} before the launch, by up to {_ms(most)}",
            "host and device clocks disagree; the split of idle by cause is off by as much",
        )


def _stream_overlaps(recorded: Activities, activities: Activities) -> _Found:
    count = summed = 0
    for stream in distinct(recorded.stream):
        mine = recorded.where(recorded.stream == stream)
        reach = np.maximum.accumulate(mine.end_ns)
        count += int((mine.start_ns[1:] < reach[:-1]).sum())
        summed += int((mine.end_ns - mine.start_ns).sum()) - busy(mine).length
    if not count:
        return
    cut = int((recorded.end_ns != activities.end_ns).sum())
    effect = f"overlaps count once; a sum of durations would be {_ms(summed)} too large"
    if cut:
        as_recorded, as_cut = busy(recorded).length, busy(activities).length
        effect = (
            f"{_count(cut, 'activity')} outlasted the next of the stream, which a stream does not "
            f"allow: each is ended where the next starts. Busy is {_ms(as_cut)}; as recorded it "
            f"would be {_ms(as_recorded)}. {effect[0].upper()}{effect[1:]}"
        )
    yield (
        "stream_overlaps",
        f"{_count(count, 'activity')} begun before the one ahead on the stream had ended",
        effect,
    )


def _longer_than_a_step(activities: Activities, phases: Phases) -> _Found:
    steps = phases.steps
    if not len(steps):
        return
    duration = activities.end_ns - activities.start_ns
    long = duration > int((steps.end_ns - steps.start_ns).max())
    if long.any():
        yield (
            "longer_than_a_step",
            f"{_count(int(long.sum()), 'activity')} longer than any step on the host, by up to "
            f"{_ms(int(duration.max()))}",
            "their windows reach into steps behind; if the profiler lost their ends, busy is too "
            "large",
        )


def _empty_steps(activities: Activities, phases: Phases) -> _Found:
    steps = phases.steps
    launches = np.sort(activities.launch_ns[activities.launch >= 0])
    counts = np.searchsorted(launches, steps.end_ns) - np.searchsorted(launches, steps.start_ns)
    empty = [name for name, count in zip(phases.step_names, counts, strict=True) if not count]
    if empty:
        yield (
            "empty_steps",
            f"{len(empty)} of {_count(len(steps), 'step')} without any launch ({_some(empty)})",
            "their windows are empty; leave them out of means over steps",
        )


def _clock_outliers(activities: Activities) -> _Found:
    covered = busy(activities)
    if len(covered) < 2:
        return
    at = int(np.argmax(covered.start[1:] - covered.end[:-1]))
    before = int((activities.start_ns < covered.start[at + 1]).sum())
    few = min(before, len(activities) - before)
    rest = (
        int(covered.end[-1] - covered.start[at + 1])
        if before == few
        else int(covered.end[at] - covered.start[0])
    )
    distance = int(covered.start[at + 1] - covered.end[at])
    if few <= max(OUTLIER_SHARE * len(activities), 1) and distance > OUTLIER_DISTANCE * rest > 0:
        yield (
            "clock_outliers",
            f"{_count(few, 'activity')} {_ms(distance)} away from all others",
            f"the span includes them; without them it is {_ms(rest)}",
        )


def _zero_durations(activities: Activities) -> _Found:
    zero = int((activities.end_ns == activities.start_ns).sum())
    if zero:
        yield (
            "zero_durations",
            f"{_count(zero, 'activity')} of no length (shorter than the clock's resolution)",
            "busy time is too small by less than one tick each",
        )


def _long_dependencies(gaps: Gaps) -> _Found:
    column = gaps.cause_ns[:, CAUSES.index("dependency")]
    long = column[column > LONG_DEPENDENCY_NS]
    if len(long):
        yield (
            "long_dependencies",
            f"{_count(len(long), 'gap')} of more than 1 ms before work that was queued all along",
            f"in these {_ms(int(long.sum()))} the device waited for something the trace does not "
            "show: another device, the host inside a stream, or launches that were not recorded",
        )


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"


def _count(number: int, thing: str) -> str:
    things = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else things}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
