"""A short pass under torch.profiler, after all that is timed, and the trace that `--trace` keeps.

::

    warm-up | clock | bounding step | profiled step … | clock
            |<------------------ in the trace ---------------->|

The pass slows the steps, so nothing else is measured in it. Whatever goes wrong in it costs only
its own figures.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from msgspec.structs import replace as replaced
from torch.profiler import ProfilerActivity, schedule

from seqprof.analysis.timeline.alignment import Alignment, align
from seqprof.analysis.timeline.phases import STEP_NAME
from seqprof.analysis.timeline.profiled import CallWindow, profiled_pass
from seqprof.analysis.timeline.structure import ANNOTATION, Timeline
from seqprof.errors import first_line
from seqprof.instruments.clock_ties import tie_clocks
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.profiler import PhaseRanges
from seqprof.instruments.range_names import CLOCK_NAMES, OWN
from seqprof.instruments.timesteps import LoopMarks, TimestepProbe
from seqprof.instruments.torch_bridge import TraceProfiler, kernel_activity, letting_go
from seqprof.measure.faults import device_is_lost
from seqprof.measure.trial.collect import SIDES, by_micro_batch, spans
from seqprof.recording import PHASES, DeviceSamples, Incident, ProfiledPass
from seqprof.spec import MeasureSpec
from seqprof.traces.kineto import read_own_trace
from seqprof.traces.tracks import Counter, Range, track_events, write_with_tracks
from seqprof.workloads.listeners import SILENCE, ForwardListener
from seqprof.workloads.step import TrainingStep

#: Operations in a pass, beyond which fewer steps are profiled: a trace holds a few events of each,
#: and the profiler's memory grows with it (1.5 GB for an LSTM cell of T = 512, five steps).
MOST_OPERATIONS = 200_000
#: Steps that only bound the first profiled one.
_BOUNDING = 1


@dataclass(slots=True)
class _Recorded:
    """What was noted on the host while the profiler recorded."""

    around: list[tuple[str, list[tuple[int, int]]]] = field(default_factory=list)
    marks: list[tuple[LoopMarks, tuple[int, ...]]] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    #: T of the forwards of each step in the trace.
    timesteps: list[tuple[int, ...]] = field(default_factory=list)


class Profiler:
    """Takes the profiled pass of one trial.

    Args:
        measure: whether, and how many steps.
        device: where it runs.
        trace: where the trace is to be kept; None if nowhere.
    """

    def __init__(self, measure: MeasureSpec, device: torch.device, trace: Path | None) -> None:
        self._measure = measure
        self._device = device
        self._trace = trace
        self._kernels = kernel_activity(device)
        self._ranges: list[Range] = []
        self._alignment: Alignment | None = None
        self._scratch: TemporaryDirectory[str] | None = None
        #: Whether the pass is to find timesteps that no module marks.
        self.for_recurrence = False
        #: Whether a longer sequence is known to launch more operators.
        self.follows_length = False
        #: Whether the trace was written to where it is to be kept.
        self.trace_kept = False

    def absent(self, reason: str) -> ProfiledPass:
        """A pass that was not taken."""
        return ProfiledPass(
            on="processor" if self._device.type == "cpu" else "device", reason=reason
        )

    def why_not(self) -> str | None:
        """Why no pass is to be taken; None if one is."""
        wanted = self._measure.profile
        if wanted is False and self._trace is None:
            return "switched off (measure.profile)"
        if self._device.type != "cpu" and self._kernels is None:
            return f"torch.profiler here records no kernels of {self._device.type} devices"
        needed = self._trace is not None or self.for_recurrence
        if wanted == "auto" and self._kernels is None and not needed:
            return "not taken on the processor unless measure.profile is true"
        return None

    def take(
        self, step: TrainingStep, loops: Sequence[TimestepLoop], operations: int | None
    ) -> tuple[ProfiledPass, tuple[Incident, ...]]:
        """Run the pass and read its trace; a failure is an incident and a reason.

        Args:
            step: the training step.
            loops: timestep modules to mark; may be empty.
            operations: in one step, as far as they are known.
        """
        reason = self.why_not()
        if reason is not None:
            wanted = self._measure.profile is True or self._trace is not None
            incident = Incident(kind="profile_unavailable", detail=reason)
            return self.absent(reason), (incident,) if wanted else ()
        affordable = MOST_OPERATIONS // (operations or 1) - _BOUNDING
        if affordable < 1:
            reason = f"a step of {operations:,} operations is too long for a trace"
            return self.absent(reason), (Incident(kind="profile_failed", detail=reason),)
        try:
            self._scratch = TemporaryDirectory(prefix="seqprof-")
            steps = min(self._measure.profile_steps, affordable)
            recorded = self._record(step, loops, steps, self._file)
            timeline = replaced(read_own_trace(self._file), synchronized=True)  # by _run
            if self.follows_length:
                timeline = replaced(timeline, timesteps=_lengths(timeline, recorded))
            made = self._summarise(timeline, recorded, step)
        except Exception as error:  # the profiler's faults are many, and none may end the run
            if device_is_lost(error):
                raise
            reason = f"{type(error).__name__}: {first_line(error)}"
            made = self.absent(reason)
        if made.reason is not None:
            return made, (Incident(kind="profile_failed", detail=made.reason),)
        return made, tuple(Incident(kind="profile_quality", detail=text) for text in made.quality)

    @property
    def _file(self) -> Path:
        assert self._scratch is not None
        return Path(self._scratch.name) / "trace.json"

    def _record(
        self, step: TrainingStep, loops: Sequence[TimestepLoop], steps: int, file: Path
    ) -> _Recorded:
        recorded, probe = _Recorded(), TimestepProbe(loops, host_clock_ns)
        # Read when the profiler first starts; below 6, Kineto writes to stderr of each start.
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")
        activities = [ProfilerActivity.CPU, *([self._kernels] if self._kernels else [])]
        last = _BOUNDING + steps
        with (
            letting_go(self._device),
            TraceProfiler(
                activities=activities,
                # What else tells timesteps from layers: which slices of the input are taken.
                record_shapes=self.for_recurrence and not self.follows_length,
                schedule=schedule(wait=0, warmup=1, active=last, repeat=1),
                on_trace_ready=lambda made: made.export_chrome_trace(str(file)),
            ) as profiler,
        ):
            for index in range(1 + last):
                if index == 1:
                    recorded.around.append((CLOCK_NAMES[0], tie_clocks(CLOCK_NAMES[0])))
                probe.begin_step(longest=step.timesteps)
                wall_s, timesteps = self._run(step, probe if loops else SILENCE)
                if index:
                    recorded.timesteps.append(timesteps)
                if index > _BOUNDING:
                    recorded.wall_s.append(wall_s)
                    recorded.marks += [(marks, timesteps) for marks in probe.marks]
                if index == last:
                    recorded.around.append((CLOCK_NAMES[1], tie_clocks(CLOCK_NAMES[1])))
                profiler.step()
        return recorded

    def _run(self, step: TrainingStep, forwards: ForwardListener) -> tuple[float, tuple[int, ...]]:
        """Run one step; returns its time and T of each micro-batch."""
        phases = PhaseRanges()
        start = host_clock_ns()
        try:
            result = step.run(phases, forwards)
        finally:
            phases.end()
            forwards.end_forward()
        synchronize(self._device)
        return (host_clock_ns() - start) * NS, result.timesteps

    def _summarise(
        self, timeline: Timeline, recorded: _Recorded, step: TrainingStep
    ) -> ProfiledPass:
        self._alignment = align(timeline, recorded.around)
        windows, reason = self._windows(recorded)
        index = None if self._device.type == "cpu" else self._device.index
        made = profiled_pass(timeline, windows, index)
        self._ranges = [*_phase_ranges(timeline), *_timestep_ranges(windows)]
        return replace(
            made,
            wall_s=tuple(recorded.wall_s),
            timesteps_reason=None if made.timesteps else reason,
            clock_error_s=self._alignment.error_ns * NS if self._alignment else None,
        )

    def _windows(self, recorded: _Recorded) -> tuple[list[CallWindow], str | None]:
        """The host windows of all timesteps, or why there are none."""
        if not recorded.marks:
            return [], "no timestep is marked in this run"
        if self._alignment is None:
            return [], "the trace does not hold the ranges that tie its clock to the host's"
        if any(loop.calls_missing or loop.calls_beyond for loop, _ in recorded.marks):
            return [], "the marked module was not called as often as before"
        alignment = self._alignment
        return [
            window
            for marks, timesteps in recorded.marks
            for window in _loop_windows(marks, timesteps, alignment)
        ], "no timestep could be marked"

    # The trace -------------------------------------------------------------------------------

    def keep(self, samples: DeviceSamples, origin_ns: int) -> tuple[Incident, ...]:
        """Write the trace to where it is to be kept, with the samples as counters."""
        if self._trace is None or not self._ranges:
            return ()
        counters: list[Counter] = []
        if self._alignment is not None:
            span = self._ranges[0].start_ns, max(bar.end_ns for bar in self._ranges)
            counters = list(_counters(samples, origin_ns, self._alignment, span))
        try:
            write_with_tracks(self._file, self._trace, track_events(self._ranges, counters))
        except (OSError, ValueError) as error:
            return (Incident(kind="trace_not_written", detail=f"{self._trace}: {error}"),)
        self.trace_kept = True
        return ()

    def close(self) -> None:
        """Remove the trace that is not kept."""
        if self._scratch is not None:
            with contextlib.suppress(OSError):
                self._scratch.cleanup()


def _lengths(timeline: Timeline, recorded: _Recorded) -> dict[str, tuple[int, ...]]:
    """T of the forwards of each step by the name that the profiler gave it."""
    host = timeline.host
    is_step = (host.kind == ANNOTATION) & timeline.named(host.name, STEP_NAME)
    names = [timeline.names[code] for code in host.name[is_step].tolist()]  # in order of time
    return dict(zip(names, recorded.timesteps, strict=False))


def _loop_windows(
    marks: LoopMarks, timesteps: Sequence[int], alignment: Alignment
) -> Iterator[CallWindow]:
    for side in SIDES:
        whole = [
            (first + at, start, end)
            for _, first, segment in by_micro_batch(marks, timesteps)
            for at, (start, end) in spans(segment, marks.loop, side)
            if start is not None and end is not None
        ]
        starts = alignment.to_trace([start for _, start, _ in whole])
        ends = alignment.to_trace([end for _, _, end in whole])
        for (at, _, _), start, end in zip(whole, starts, ends, strict=True):
            yield CallWindow(marks.loop.path, side, at, int(start), int(end))


def _phase_ranges(timeline: Timeline) -> list[Range]:
    host = timeline.host
    names = {OWN + phase: phase for phase in PHASES}
    ranges = [
        Range("phases", names[name], int(start), int(end))
        for start, end, kind, code in zip(
            host.start_ns, host.end_ns, host.kind, host.name, strict=True
        )
        if kind == ANNOTATION and (name := timeline.names[code]) in names
    ]
    return sorted(ranges, key=lambda bar: bar.start_ns)


def _timestep_ranges(windows: Sequence[CallWindow]) -> list[Range]:
    bars = [
        Range(f"timesteps of {w.loop}, {w.phase}", f"timestep {w.timestep}", w.start_ns, w.end_ns)
        for w in windows
    ]
    return sorted(bars, key=lambda bar: (bar.track, bar.start_ns))


def _counters(
    samples: DeviceSamples, origin_ns: int, alignment: Alignment, span: tuple[int, int]
) -> Iterator[Counter]:
    """Samples inside the span of the pass, with the last before and the first after it."""
    for series in samples.series:
        at = alignment.to_trace([origin_ns + round(at_s / NS) for at_s in series.at_s])
        first = max(0, int((at < span[0]).sum()) - 1)
        last = len(at) - max(0, int((at > span[1]).sum()) - 1)
        for time, value in list(zip(at, series.value, strict=True))[first:last]:
            yield Counter(series.metric, int(time), value)
