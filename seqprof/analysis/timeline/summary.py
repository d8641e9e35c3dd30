"""Timeline → everything that ``seqprof trace`` shows, as plain data with integer nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.causes import CAUSES, Gaps, explain, explain_processor, host_waits
from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.intervals import Intervals, gaps, union
from seqprof.analysis.timeline.phases import OUTSIDE, PHASES, Phases, divide
from seqprof.analysis.timeline.processor import PROCESSOR, outermost_operators
from seqprof.analysis.timeline.quality import TraceCaveat, device_caveats, trace_caveats
from seqprof.analysis.timeline.recurrence import Recurrence, Rejected, find_recurrences
from seqprof.analysis.timeline.structure import NO_DEVICE, Activities, Bools, Ints, Timeline
from seqprof.analysis.timeline.traffic import (
    Collective,
    KernelTotal,
    Transfer,
    collectives,
    kernel_totals,
    transfers,
)
from seqprof.analysis.timeline.windows import Windows, busy, tile

#: Raised by one whenever the JSON of `seqprof trace` changes shape.
SCHEMA_VERSION = 1

#: A device that idles less than this is bound by its own work, whatever ends its gaps.
BOUND_BY_DEVICE = 0.10


class Account(Struct, frozen=True, kw_only=True):
    """Busy and idle of some windows of one device; idle by cause adds up to idle exactly.

    ``own_busy_ns`` is the union of the activities that this step or phase launched, wherever they
    ran; it may exceed ``busy_ns`` where phases overlap on the device.
    """

    window_ns: int
    busy_ns: int
    idle_ns: int
    idle_fraction: float | None
    idle_by_cause_ns: Mapping[str, int]
    activities: int
    launches: int
    own_busy_ns: int


class PhaseAccount(Account, frozen=True, kw_only=True):
    """``method``: ``annotation``, ``autograd`` (its structure), or null for what is left."""

    phase: str
    method: str | None


class StepAccount(Account, frozen=True, kw_only=True):
    """``host_ns`` is the step on the host, ``host_working_ns`` what of it was not waiting."""

    step: str
    host_ns: int
    host_working_ns: int
    phases: tuple[PhaseAccount, ...]


class HostAgainstDevice(Struct, frozen=True, kw_only=True):
    """Whether the host keeps the device fed.

    ``bound_by`` is ``device`` while it idles less than 10 %, else the greatest cause of idle.
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
    phases: tuple[PhaseAccount, ...]
    steps: tuple[StepAccount, ...]
    outside_steps: Account | None
    host: HostAgainstDevice
    transfers: tuple[Transfer, ...]
    collectives: tuple[Collective, ...]
    kernels: tuple[KernelTotal, ...]
    recurrences: tuple[Recurrence, ...]
    not_recurrent: tuple[Rejected, ...]

    @property
    def title(self) -> str:
        """What reports call it."""
        if self.device is None:
            return "Processor (operators; not device time)"
        return "Device unknown" if self.device == NO_DEVICE else f"Device {self.device}"


class TraceSummary(Struct, frozen=True, kw_only=True):
    """One trace file."""

    source: str
    events: int
    profiler_steps: int
    rank: int | None
    devices: tuple[DeviceSummary, ...]
    processor: DeviceSummary | None
    caveats: tuple[TraceCaveat, ...]


def summarise(timeline: Timeline) -> TraceSummary:
    """Analyse every device of ``timeline``; without one, the operators on the processor."""
    phases = divide(timeline)
    activities = timeline.activities
    devices, caveats = [], list(trace_caveats(timeline, phases))
    for index in distinct(activities.device):
        view = _View.of(timeline, activities.where(activities.device == index), phases)
        devices.append(_summary(view))
        caveats += device_caveats(timeline, view.activities, view.gaps, phases)
    processor = None
    if not devices:
        operators = outermost_operators(timeline)
        if len(operators):
            processor = _summary(_View.of(timeline, operators, phases))
    return TraceSummary(
        source=timeline.source,
        events=timeline.events,
        profiler_steps=len(phases.steps),
        rank=timeline.rank,
        devices=tuple(devices),
        processor=processor,
        caveats=tuple(caveats),
    )


class _View(Struct, frozen=True):
    """One device, with what every account of it is made from."""

    timeline: Timeline
    activities: Activities
    phases: Phases
    segment: Ints
    covered: Intervals
    windows: Windows
    gaps: Gaps

    @classmethod
    def of(cls, timeline: Timeline, activities: Activities, phases: Phases) -> _View:
        launched = activities.launch >= 0
        segment = np.where(launched, phases.segments.at(activities.launch_ns), -1)
        covered = busy(activities)
        is_processor = int(activities.device[0]) == PROCESSOR
        found = (
            explain_processor(timeline, covered, phases)
            if is_processor
            else explain(timeline, activities, covered, phases)
        )
        windows = tile(activities, segment, phases.segments)
        return cls(timeline, activities, phases, segment, covered, windows, found)

    def account(self, windows: Bools, segments: Bools) -> dict[str, object]:
        """The fields of an :class:`Account` over some windows and the activities of segments."""
        length = int(self.windows.length[windows].sum())
        occupied = int(self.windows.within(self.covered)[windows].sum())
        row = self.windows.of(self.gaps.where.start)
        causes = windows[row].astype(np.int64) @ self.gaps.cause_ns
        mine = (self.segment >= 0) & segments[self.segment]
        return {
            "window_ns": length,
            "busy_ns": occupied,
            "idle_ns": length - occupied,
            "idle_fraction": _fraction(length - occupied, length),
            "idle_by_cause_ns": _by_cause(causes),
            "activities": int(mine.sum()),
            "launches": len(distinct(self.activities.launch[mine])),
            "own_busy_ns": union(
                self.activities.start_ns[mine], self.activities.end_ns[mine]
            ).length,
        }

    def phase_accounts(self, windows: Bools, segments: Bools) -> tuple[PhaseAccount, ...]:
        """One account for each phase that has windows or activities among those given."""
        accounts = []
        for code, phase in enumerate(PHASES):
            of_windows = windows & (self.windows.phase == code)
            of_segments = segments & (self.phases.segments.phase == code)
            fields = self.account(of_windows, of_segments)
            if fields["window_ns"] or fields["activities"]:
                method = self.phases.methods.get(phase)
                accounts.append(PhaseAccount(phase=phase, method=method, **fields))  # type: ignore[arg-type]
        return tuple(accounts)


def _summary(view: _View) -> DeviceSummary:
    activities, phases = view.activities, view.phases
    launched = activities.where(activities.launch >= 0)
    span = int(activities.end_ns.max() - activities.start_ns[0])
    idle = gaps(view.covered).length
    causes = _by_cause(view.gaps.cause_ns.sum(axis=0))
    every_window = np.ones(len(view.windows.step), dtype=np.bool_)
    every_segment = np.ones(len(phases.segments.step), dtype=np.bool_)
    device = int(activities.device[0])
    found, rejected = find_recurrences(view.timeline, activities, view.segment, phases)
    return DeviceSummary(
        device=None if device == PROCESSOR else device,
        name=view.timeline.device_names.get(device),
        streams=len(distinct(activities.stream)),
        activities=len(activities),
        span_ns=span,
        busy_ns=view.covered.length,
        idle_ns=idle,
        idle_fraction=_fraction(idle, span),
        launchless=len(activities) - len(launched),
        busy_launched_only_ns=busy(launched).length,
        idle_by_cause_ns=causes,
        phases=view.phase_accounts(every_window, every_segment),
        steps=_steps(view),
        outside_steps=_outside(view),
        host=_host_against_device(launched, idle, span, causes),
        transfers=transfers(view.timeline, activities),
        collectives=collectives(view.timeline, activities),
        kernels=kernel_totals(view.timeline, activities),
        recurrences=found,
        not_recurrent=rejected,
    )


def _steps(view: _View) -> tuple[StepAccount, ...]:
    phases = view.phases
    steps = phases.steps
    waits = host_waits(view.timeline, {phases.main_thread})
    waiting = sum(waits.split(steps.start_ns, steps.end_ns), np.zeros(len(steps), dtype=np.int64))
    accounts = []
    for row, name in enumerate(phases.step_names):
        windows, segments = view.windows.step == row, phases.segments.step == row
        host = int(steps.end_ns[row] - steps.start_ns[row])
        accounts.append(
            StepAccount(
                step=name,
                host_ns=host,
                host_working_ns=host - int(waiting[row]),
                phases=view.phase_accounts(windows, segments),
                **view.account(windows, segments),  # type: ignore[arg-type]
            )
        )
    return tuple(accounts)


def _outside(view: _View) -> Account | None:
    """What lies outside all steps; null in a trace without steps."""
    if not len(view.phases.steps):
        return None
    windows = view.windows.step == OUTSIDE
    return Account(**view.account(windows, view.phases.segments.step == OUTSIDE))  # type: ignore[arg-type]


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


def _by_cause(causes: Ints) -> dict[str, int]:
    return dict(zip(CAUSES, (int(cause) for cause in causes), strict=True))


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None
