"""The trace of a script's profiled steps → busy, idle and its causes by the phases of its loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from seqprof.analysis.loop.recorded import ProfiledStep
from seqprof.analysis.timeline.alignment import Alignment, align
from seqprof.analysis.timeline.profiled import profiled_pass
from seqprof.analysis.timeline.structure import ANNOTATION, OPERATOR, HostEvents, Ints, Timeline
from seqprof.instruments.range_names import OWN
from seqprof.recording import ProfiledPass
from seqprof.traces.kineto import read_own_trace
from seqprof.traces.tracks import Range

_NS = 1e-9
#: As torch.profiler names its steps.
_STEP = "ProfilerStep#{}"


def read_profile(
    trace: Path,
    around: Sequence[tuple[str, Sequence[tuple[int, int]]]],
    steps: Sequence[ProfiledStep],
    device: int | None,
) -> tuple[ProfiledPass, tuple[Range, ...]] | None:
    """Return the pass over the profiled steps, and their phases as bars for the trace.

    Args:
        trace: that the profiler of the script's process wrote.
        around: names of ranges → host clock before and after each of them was opened, in order.
        steps: on the host's clock.
        device: its index; None for the processor.

    Returns:
        None where the trace's clock cannot be tied to the host's.
    """
    timeline = read_own_trace(trace)
    alignment = align(timeline, around)
    if alignment is None:
        return None
    moved = [_moved(step, alignment) for step in steps]
    begun = int(timeline.host.start_ns.min()) if len(timeline.host) else 0
    inside = [step for step in moved if step.start_ns >= begun]  # the others came before it
    measured = profiled_pass(_annotated(timeline, inside), device=device)
    counted = inside[1:] or inside
    wall_s = tuple((step.end_ns - step.start_ns) * _NS for step in counted)
    measured = replace(measured, wall_s=wall_s, clock_error_s=alignment.error_ns * _NS)
    return measured, tuple(_bars(inside))


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
