"""The trace of a script's profiled steps → busy, idle and its causes by the phases of its loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from seqprof.analysis.loop.recorded import LoopRecord, ProfiledStep
from seqprof.analysis.timeline.alignment import Alignment, align
from seqprof.analysis.timeline.profiled import profiled_pass
from seqprof.analysis.timeline.structure import ANNOTATION, OPERATOR, HostEvents, Ints, Timeline
from seqprof.instruments.range_names import OWN
from seqprof.recording import Incident, ProfiledPass
from seqprof.traces.kineto import read_own_trace
from seqprof.traces.tracks import Range, track_events, write_with_tracks

_NS = 1e-9
_NOT_REACHED = "the script ended before the measured steps were complete"
#: As torch.profiler names its steps.
_STEP = "ProfilerStep#{}"


@dataclass(frozen=True, slots=True)
class ProfiledLoop:
    """The pass over the profiled steps of one process, and its phases as bars for a trace."""

    measured: ProfiledPass
    bars: tuple[Range, ...] = ()

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Defects of the trace."""
        return tuple(Incident(kind="profile_quality", detail=t) for t in self.measured.quality)


def profiled_loop(record: LoopRecord, trace: Path) -> ProfiledLoop:
    """Read the trace of a process's profiled steps, or say why there is none."""
    fact = record.log.last_of("profiled") or {"reason": _NOT_REACHED}
    device = (record.log.last_of("process") or {}).get("device") or {"kind": "cpu"}
    index = None if device["kind"] == "cpu" else int(device.get("index") or 0)
    absent = ProfiledPass(on="processor" if index is None else "device")
    if fact.get("reason") is not None or not trace.exists():
        return ProfiledLoop(replace(absent, reason=fact.get("reason") or "no trace was written"))
    try:
        timeline = read_own_trace(trace)
        alignment = align(timeline, [(str(name), stamps) for name, stamps in fact["around"]])
        if alignment is None:
            return ProfiledLoop(replace(absent, reason="the trace's clock is not the host's"))
        loop = _read(timeline, alignment, record.profiled_steps(), index)
        stopped_s = fact["stopped_ns"] * _NS
        return replace(loop, measured=replace(loop.measured, stopped_s=stopped_s))
    except Exception as error:  # it must not cost what was timed
        reason = f"{type(error).__name__}: {error}"
        return ProfiledLoop(replace(absent, reason=reason.splitlines()[0]))


def _read(
    timeline: Timeline, alignment: Alignment, steps: list[ProfiledStep], device: int | None
) -> ProfiledLoop:
    moved = [_moved(step, alignment) for step in steps]
    begun = int(timeline.host.start_ns.min()) if len(timeline.host) else 0
    inside = [step for step in moved if step.start_ns >= begun]  # the others came before it
    measured = profiled_pass(_annotated(timeline, inside), device=device)
    counted = inside[1:] or inside
    wall_s = tuple((step.end_ns - step.start_ns) * _NS for step in counted)
    return ProfiledLoop(
        replace(measured, wall_s=wall_s, clock_error_s=alignment.error_ns * _NS),
        tuple(_bars(inside)),
    )


def _moved(step: ProfiledStep, alignment: Alignment) -> ProfiledStep:
    """A step on the clock of the trace."""
    times = [step.start_ns, step.end_ns]
    times += [time for _, start, end in step.segments for time in (start, end)]
    start, end, *bounds = map(int, alignment.to_trace(times))
    labels = (label for label, _, _ in step.segments)
    segments = tuple(zip(labels, bounds[::2], bounds[1::2], strict=True))
    return ProfiledStep(step.number, start, end, segments)


def _annotated(timeline: Timeline, steps: Sequence[ProfiledStep]) -> Timeline:
    """The timeline with our steps and phases as annotations, in place of the script's own."""
    host = timeline.host
    rows = [(step.start_ns, step.end_ns, _STEP.format(step.number)) for step in steps]
    rows += [(start, end, OWN + label) for step in steps for label, start, end in step.segments]
    names = list(dict.fromkeys(name for *_, name in rows))
    code_of = {name: len(timeline.names) + at for at, name in enumerate(names)}
    own = _host_events([(start, end, code_of[name]) for start, end, name in rows], timeline)
    left = np.flatnonzero(host.kind != ANNOTATION)
    joined = HostEvents(
        *(
            np.concatenate((getattr(host, column)[left], getattr(own, column)))
            for column in HostEvents.__struct_fields__
        )
    )
    order = np.lexsort((-joined.end_ns, joined.start_ns))
    # A launch is a row of the host's events: where each has moved to.
    moved = np.full(len(host) + 1, -1, dtype=np.int64)
    moved[left] = np.argsort(order)[: len(left)]
    activities = timeline.activities
    return msgspec.structs.replace(
        timeline,
        names=(*timeline.names, *names),
        first_alike=None,
        searched={},
        host=joined.at(order),
        activities=msgspec.structs.replace(activities, launch=moved[activities.launch]),
    )


def _host_events(rows: Sequence[tuple[int, int, int]], timeline: Timeline) -> HostEvents:
    """Annotations (start, end, name) on the thread that runs most operators."""
    threads = timeline.host.thread[timeline.host.kind == OPERATOR]
    thread = int(np.bincount(threads).argmax()) if len(threads) else 0
    start, end, name = np.array(rows, dtype=np.int64).reshape(-1, 3).T

    def same(value: int) -> Ints:
        return np.full(len(rows), value, dtype=np.int64)

    return HostEvents(
        start, end, same(thread), same(ANNOTATION), name, same(-1), same(-1), same(-1)
    )


def _bars(steps: Sequence[ProfiledStep]) -> Iterator[Range]:
    for step in steps:
        for label, start, end in step.segments:
            yield Range("phases", label, start, end)


def keep_trace(loop: ProfiledLoop, trace: Path, target: Path) -> tuple[Incident, ...]:
    """Write the trace to where it is to be kept, with the phases as a track."""
    if not loop.bars:
        return ()
    try:
        write_with_tracks(trace, target, track_events(loop.bars, ()))
    except (OSError, ValueError) as error:
        return (Incident(kind="trace_not_written", detail=f"{target}: {error}"),)
    return ()
