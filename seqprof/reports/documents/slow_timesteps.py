"""From the slowest timesteps of a trace to what ran in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqprof.reports import quantities as q
from seqprof.reports.document import Block, Cell, Column, Folded, Prose, Table, heads, word
from seqprof.reports.documents.trace_words import named

if TYPE_CHECKING:  # their modules need numpy, which a stored trace is shown without
    from seqprof.analysis.timeline.summary import DeviceSummary
    from seqprof.analysis.timeline.timesteps.slow import OpenedTimestep
    from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence

_NS = 1e-9
#: A timestep that takes so many times the median is opened.
_SLOW = 1.05
_METHOD = "exact: intervals of the trace"


def opened_timesteps(device: DeviceSummary, recurrence: Recurrence) -> list[Block]:
    """Return the slowest timesteps, each with its kernels or operators, behind a line."""
    median_ns = recurrence.median_latency_ns
    slowest = [each for each in recurrence.slowest if each.latency_ns > _SLOW * median_ns]
    if not slowest:
        return []
    what = "operators" if device.device is None else "kernels"
    phase = "the whole trace" if recurrence.phase == "other" else recurrence.phase
    listed = ", ".join(str(slow.timestep) for slow in slowest)
    return [
        Folded(
            summary=f"The slowest timesteps of {phase} ({listed}) and their {what}",
            blocks=[block for slow in slowest for block in _opened(device, recurrence, slow, what)],
        )
    ]


def _opened(
    device: DeviceSummary, recurrence: Recurrence, slow: OpenedTimestep, what: str
) -> tuple[Prose, Table]:
    rows = [
        [
            named(ran.name),
            _time(ran.start_ns),
            _time(ran.duration_ns),
            _time(ran.idle_before_ns),
            word(ran.stream),
        ]
        for ran in slow.activities
    ]
    median_ns = recurrence.median_latency_ns
    times = f", {slow.latency_ns / median_ns:.2f} times the median" if median_ns else ""
    at = (
        ""
        if device.axis is None
        else f" at {q.seconds((slow.start_ns - device.axis.start_ns) * _NS)}"
    )
    remarks = [f"start: since the timestep begins{at}"]
    if slow.count > len(rows):
        remarks.append(f"the first {len(rows)} of {slow.count:,} {what}")
    stream = "thread" if device.device is None else "stream"
    columns: list[Column] = heads(what.removesuffix("s"), "start", "took", "idle before", stream)
    said = (
        f"Timestep {slow.timestep}: {q.seconds(slow.latency_ns * _NS)}{times}; nothing ran for "
        f"{q.seconds(slow.gap_ns * _NS)} of it."
    )
    caption = f"Timestep {slow.timestep}"
    table = Table(caption=caption, columns=columns, rows=rows, remarks=remarks)
    return Prose(lines=[said]), table


def _time(nanoseconds: int) -> Cell:
    return Cell(text=q.seconds(nanoseconds * _NS), method=_METHOD)
