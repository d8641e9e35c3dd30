"""Timeline → everything that ``seqprof trace`` shows, as plain data with integer nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.accounts import (
    Account,
    Ledger,
    PhaseWindowAccount,
    StepAccount,
    by_cause,
    fraction,
)
from seqprof.analysis.timeline.axis import time_axis
from seqprof.analysis.timeline.causes import CAUSES, explain, explain_processor, host_waits
from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.intervals import gaps
from seqprof.analysis.timeline.overlaps import cut_overruns
from seqprof.analysis.timeline.phases import Phases, divide
from seqprof.analysis.timeline.processor import PROCESSOR, outermost_operators
from seqprof.analysis.timeline.quality import (
    LargestGap,
    TraceCaveat,
    device_caveats,
    one_gap,
    trace_caveats,
)
from seqprof.analysis.timeline.structure import NO_DEVICE, Activities, Timeline
from seqprof.analysis.timeline.timesteps.recurrence import find_recurrences
from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence, Rejected
from seqprof.analysis.timeline.traffic import (
    Collective,
    KernelTotal,
    Transfer,
    collectives,
    kernel_totals,
    transfers,
)
from seqprof.analysis.timeline.windows import busy, tile
from seqprof.recorded_axis import TimeAxis

#: A device that idles less than this is bound by its own work, whatever ends its gaps.
BOUND_BY_DEVICE = 0.10
#: A gap that is this part of all idle time is judged apart from the rest.
MOST_OF_IDLE = 0.9
#: Of fewer gaps one is no exception.
FEWEST_GAPS = 8


class HostAgainstDevice(Struct, frozen=True, kw_only=True):
    """Whether the host keeps the device fed.

    ``bound_by`` is ``device`` while it idles less than 10 %, else the greatest cause of idle; both
    without a single gap that is most of it (``largest_gap``), which says nothing of the rest.
    ``starved_fraction``: share of launches that found the device with nothing left to do.
    """

    bound_by: str
    launch_bound: bool
    launches: int
    starved_fraction: float | None
    median_launch_latency_ns: int | None


class DeviceSummary(Struct, frozen=True, kw_only=True):
    """One device; ``device`` is -1 if the trace does not say which.

    It is null where operators on the processor stand in for a device.
    """

    device: int | None
    name: str | None
    streams: int
    activities: int
    span_ns: int
    busy_ns: int
    idle_ns: int
    idle_fraction: float | None
    launchless: int
    busy_launched_only_ns: int
    idle_by_cause_ns: Mapping[str, int]
    phases: tuple[PhaseWindowAccount, ...]
    steps: tuple[StepAccount, ...]
    outside_steps: Account | None
    host: HostAgainstDevice
    transfers: tuple[Transfer, ...]
    collectives: tuple[Collective, ...]
    kernels: tuple[KernelTotal, ...]
    recurrences: tuple[Recurrence, ...]
    not_recurrent: tuple[Rejected, ...]
    #: The process that launched it, in a file that holds several.
    process: str | None = None
    largest_gap: LargestGap | None = None
    #: All of it over time; null in a document of an older seqprof.
    axis: TimeAxis | None = None

    @property
    def title(self) -> str:
        """What reports call it."""
        of_process = "" if self.process is None else f" of process {self.process}"
        if self.device is None:
            return f"Processor{of_process} (operators; not device time)"
        if self.device == NO_DEVICE:
            return f"Device unknown{of_process}"
        return f"Device {self.device}{of_process}"


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One trace file."""

    source: str
    events: int
    profiler_steps: int
    rank: int | None
    devices: tuple[DeviceSummary, ...]
    processor: DeviceSummary | None
    caveats: tuple[TraceCaveat, ...]
    #: Of a file of several processes without a device: the others.
    other_processors: tuple[DeviceSummary, ...] = ()

    @property
    def accounts(self) -> tuple[DeviceSummary, ...]:
        """The devices, or the processors that stand in for them."""
        stand_in = () if self.processor is None else (self.processor, *self.other_processors)
        return self.devices or stand_in


def summarise(timeline: Timeline) -> TraceSummary:
    """Analyse every device of ``timeline``; without one, the operators on the processor.

    Each process of a file that holds several is analysed by itself.
    """
    parts = [_of_process(part) for part in timeline.parts or (timeline,)]
    devices = tuple(device for part in parts for device in part.devices)
    processors = tuple(part.processor for part in parts if part.processor is not None)
    return TraceSummary(
        source=timeline.source,
        events=timeline.events,
        profiler_steps=max(part.steps for part in parts),
        rank=timeline.rank,
        devices=devices,
        processor=processors[0] if processors and not devices else None,
        other_processors=() if devices else processors[1:],
        caveats=tuple(dict.fromkeys(caveat for part in parts for caveat in part.caveats)),
    )


class _Part(Struct, frozen=True):
    """What was found in one process."""

    devices: list[DeviceSummary]
    processor: DeviceSummary | None
    steps: int
    caveats: list[TraceCaveat]


def _of_process(timeline: Timeline) -> _Part:
    phases = divide(timeline)
    activities = timeline.activities
    devices, caveats = [], list(trace_caveats(timeline, phases))
    for index in distinct(activities.device):
        recorded = activities.where(activities.device == index)
        view = _View.of(timeline, cut_overruns(recorded), phases)
        devices.append(_summary(view))
        caveats += device_caveats(timeline, recorded, view.activities, view.gaps, phases)
        caveats += one_gap(devices[-1].largest_gap, int(index), timeline.process)
    processor = None
    if not devices:
        operators = outermost_operators(timeline)
        if len(operators):
            processor = _summary(_View.of(timeline, operators, phases))
    return _Part(devices, processor, len(phases.steps), caveats)


class _View(Ledger, frozen=True, kw_only=True):
    """One device, with what every account of it is made from."""

    timeline: Timeline

    @classmethod
    def of(cls, timeline: Timeline, activities: Activities, phases: Phases) -> _View:
        launched = activities.launch >= 0
        segment = np.where(launched, phases.segments.at(activities.launch_ns), -1)
        covered = busy(activities)
        is_processor = int(activities.device[0]) == PROCESSOR
        parts = (
            explain_processor(timeline, covered, phases)
            if is_processor
            else explain(timeline, activities, covered, phases)
        )
        windows = tile(activities, segment, phases.segments)
        return cls(activities, phases, segment, covered, windows, parts, timeline=timeline)


def _summary(view: _View) -> DeviceSummary:
    activities, phases = view.activities, view.phases
    launched = activities.where(activities.launch >= 0)
    span = int(activities.end_ns.max() - activities.start_ns[0])
    idle = gaps(view.covered).length
    causes = by_cause(view.gaps.cause_ns.sum(axis=0).tolist())
    device = int(activities.device[0])
    largest = _largest_gap(view, idle)
    recurrences, rejected = find_recurrences(view.timeline, activities, view.segment, phases)
    return DeviceSummary(
        device=None if device == PROCESSOR else device,
        name=view.timeline.device_names.get(device),
        streams=len(distinct(activities.stream)),
        activities=len(activities),
        span_ns=span,
        busy_ns=view.covered.length,
        idle_ns=idle,
        idle_fraction=fraction(idle, span),
        launchless=len(activities) - len(launched),
        busy_launched_only_ns=busy(launched).length,
        idle_by_cause_ns=causes,
        phases=view.by_phase(),
        steps=view.by_step(_host_working(view)),
        outside_steps=view.outside_steps(),
        host=_host_against_device(launched, *_without(largest, idle, span, causes)),
        transfers=transfers(view.timeline, activities),
        collectives=collectives(view.timeline, activities),
        kernels=kernel_totals(view.timeline, activities),
        recurrences=recurrences,
        not_recurrent=rejected,
        process=view.timeline.process,
        largest_gap=largest,
        axis=time_axis(view.timeline, activities, view.covered, view.gaps, phases),
    )


def _largest_gap(view: _View, idle: int) -> LargestGap | None:
    """The longest gap, if it is most of all idle time and others are beside it."""
    where = view.gaps.where
    if len(where) < FEWEST_GAPS:
        return None
    row = int(np.argmax(where.end - where.start))
    length = int(where.end[row] - where.start[row])
    if length < MOST_OF_IDLE * idle:
        return None
    activities, names = view.activities, view.timeline.names
    last = int(np.argmax(np.where(activities.end_ns == where.start[row], 1, 0)))
    following = int(np.searchsorted(activities.start_ns, where.end[row]))
    return LargestGap(
        at_ns=int(where.start[row] - activities.start_ns[0]),
        length_ns=length,
        share_of_idle=length / idle,
        cause=CAUSES[int(np.argmax(view.gaps.cause_ns[row]))],
        after=names[activities.name[last]],
        before=names[activities.name[following]],
    )


def _without(
    gap: LargestGap | None, idle: int, span: int, causes: Mapping[str, int]
) -> tuple[int, int, Mapping[str, int]]:
    """Idle time, span and causes without one gap."""
    if gap is None:
        return idle, span, causes
    rest = {**causes, gap.cause: max(causes[gap.cause] - gap.length_ns, 0)}
    return idle - gap.length_ns, span - gap.length_ns, rest


def _host_working(view: _View) -> list[int]:
    """Time of each step on the host that was not waiting."""
    steps = view.phases.steps
    waits = host_waits(view.timeline, {view.phases.main_thread})
    waiting = sum(waits.split(steps.start_ns, steps.end_ns), np.zeros(len(steps), dtype=np.int64))
    working: list[int] = (steps.end_ns - steps.start_ns - waiting).tolist()
    return working


def _host_against_device(
    launched: Activities, idle: int, span: int, causes: Mapping[str, int]
) -> HostAgainstDevice:
    greatest = max(causes, key=lambda cause: causes[cause])
    bound_by = "device" if idle < BOUND_BY_DEVICE * span else greatest
    latency = np.maximum(launched.start_ns - launched.launch_ns, 0)
    return HostAgainstDevice(
        bound_by=bound_by,
        launch_bound=bound_by == "launch",
        launches=len(distinct(launched.launch)),
        starved_fraction=_starved(launched),
        median_launch_latency_ns=int(np.median(latency)) if len(latency) else None,
    )


def _starved(launched: Activities) -> float | None:
    """Share of launching calls made when all that was launched before had already ended."""
    if len(launched) < 2:
        return None
    order = np.lexsort((launched.start_ns, launched.launch_ns))
    launch, end = launched.launch_ns[order], launched.end_ns[order]
    first = np.concatenate(([True], np.diff(launched.launch[order]) != 0))
    ended = np.maximum.accumulate(end)[:-1] <= launch[1:]
    calls = first[1:]
    return float(ended[calls].mean()) if calls.any() else None
