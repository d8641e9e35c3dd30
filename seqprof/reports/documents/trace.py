"""The document of `seqprof trace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seqprof.analysis.statistics import median
from seqprof.analysis.stretches import stretches
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    USEFUL,
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Document,
    Headline,
    Only,
    Part,
    Prose,
    Section,
    Table,
    View,
    Warned,
    heads,
    none,
    word,
)
from seqprof.reports.documents.findings import about_measurement
from seqprof.reports.documents.idle_causes import CAUSES, PROCESSOR_CAUSES
from seqprof.reports.documents.slow_timesteps import opened_timesteps
from seqprof.reports.documents.time_axis import over_time
from seqprof.reports.documents.trace_words import named, next_of, short_name, trace_in_words
from seqprof.reports.plots import Curve, is_wide, over_timesteps, overlapping

if TYPE_CHECKING:  # their modules need numpy, which a stored trace is shown without
    from seqprof.analysis.timeline.accounts import Account
    from seqprof.analysis.timeline.quality import TraceCaveat
    from seqprof.analysis.timeline.summary import DeviceSummary, TraceSummary
    from seqprof.analysis.timeline.timesteps.timestep_loop import Recurrence
    from seqprof.reports.formats import Result

#: Kernels and steps that a table shows; the JSON has all.
MOST_KERNELS, MOST_STEPS = 30, 200
#: Kernels on the first screen.
FIRST_KERNELS = 5
_METHOD = "exact: union of all intervals in the trace"
_CAUSED = "exact: gaps of the device by what the host did"

_NS = 1e-9


def document(result: Result, view: View) -> Document:
    """Return the document of one trace."""
    summary: TraceSummary = result.summary
    warned = [
        Warned(
            severity="warning",
            text=caveat.message,
            evidence=_concerned(caveat),
            remedy=caveat.effect,
        )
        for caveat in summary.caveats
    ]
    steps = summary.profiler_steps
    parts = [f"{summary.events:,} events", f"{steps} step" if steps == 1 else f"{steps} steps"]
    parts += [f"rank {summary.rank}"] if summary.rank is not None else []
    devices = summary.accounts
    said = trace_in_words(summary)
    several = len(devices) > 1
    return Document(
        title=f"Trace {summary.source}",
        subtitle=", ".join(parts),
        line=f"{summary.source}: {' '.join(said)}",
        sections=[
            Section(title="", name="The answer", blocks=[Prose(lines=said, tone="answer")]),
            *(section for device in devices for section in _device(device, several, view)),
            *next_of(summary),
            about_measurement(warned),
        ],
    )


def _concerned(caveat: TraceCaveat) -> str:
    device = None if caveat.device is None else f"device {caveat.device}"
    process = None if caveat.process is None else f"process {caveat.process}"
    return ", ".join(part for part in (device, process) if part)


def _device(device: DeviceSummary, is_one_of_many: bool, view: View) -> list[Section]:
    is_processor = device.device is None
    head = f"{device.title}: {device.name}" if device.name else device.title
    known = PROCESSOR_CAUSES if is_processor else CAUSES
    lines = [*_host(device), *_longest_gap(device)]
    blocks: list[Block] = [_totals(device), *([Prose(lines=lines)] if lines else [])]
    if any(device.idle_by_cause_ns.values()):
        blocks += [
            Bars(
                caption="The whole span: busy, then idle by cause.",
                bars=[_bar("span", device.busy_ns, device.idle_by_cause_ns)],
            ),
            _causes(device, known),
        ]
    sections = [Section(title=head, blocks=blocks)]
    of = f" ({device.title})" if is_one_of_many else ""
    for title, items, rank in (
        ("Over time", over_time(device.axis), 0),
        ("Phases", _phases(device), 0),
        ("Timesteps found in what repeats", _recurrences(device), _rank(device)),
        ("What ran", _ran(device, view), 0),
        ("Steps", _steps(device), DETAIL),
        ("Copies and collectives", _moved(device), DETAIL),
    ):
        if items:
            sections.append(Section(title=title + of, blocks=items, rank=rank))
    return sections


def _time(nanoseconds: float, method: str = _METHOD) -> Cell:
    return Cell(text=q.seconds(nanoseconds * _NS), method=method)


def _share(fraction: float | None, method: str = _METHOD) -> Cell:
    if fraction is None:
        return none("an empty window")
    return Cell(text=f"{fraction:.1%}", method=method)


def _totals(device: DeviceSummary) -> Headline:
    what = "operators" if device.device is None else "activities"
    busy = None if device.idle_fraction is None else 1.0 - device.idle_fraction
    return Headline(
        figures=[
            ("span", _time(device.span_ns, "first start to last end in the trace")),
            ("busy", _time(device.busy_ns)),
            ("busy share", _share(busy)),
            ("idle", _time(device.idle_ns)),
            (what, Cell(text=f"{device.activities:,}", method="counted in the trace")),
        ]
    )


def _host(device: DeviceSummary) -> list[str]:
    lines = []
    if device.launchless:
        lines.append(
            f"{device.launchless:,} activities have no recorded launch; without them busy would be "
            f"{q.seconds(device.busy_launched_only_ns * _NS)}."
        )
    if device.device is None:
        return lines
    host = device.host
    verdict = (
        "The device is kept busy."
        if host.bound_by == "device"
        else f"The device is {host.bound_by}-bound: most of its idle time is of that cause."
    )
    parts = [f"{host.launches:,} launches"]
    if host.starved_fraction is not None:
        parts.append(f"{host.starved_fraction:.1%} of them onto a device with nothing left to do")
    if host.median_launch_latency_ns is not None:
        parts.append(f"median launch to start {q.seconds(host.median_launch_latency_ns * _NS)}")
    return [verdict, "; ".join(parts) + ".", *lines]


def _longest_gap(device: DeviceSummary) -> list[str]:
    """Name the one gap that is most of all idle, with where it lies and what ended it."""
    gap = device.largest_gap
    if gap is None:
        return []
    return [
        f"The longest gap, {q.seconds(gap.length_ns * _NS)} from {q.seconds(gap.at_ns * _NS)} on, "
        f"is {gap.share_of_idle:.0%} of all idle ({gap.cause}): from "
        f"`{short_name(gap.after, 40)}` to `{short_name(gap.before, 40)}`."
    ]


def _bar(name: str, busy_ns: int, causes: Mapping[str, int]) -> Bar:
    parts = [Part(name="busy", value=busy_ns, text=q.seconds(busy_ns * _NS), colour="busy")]
    parts += [
        Part(name=cause, value=time, text=q.seconds(time * _NS), colour=f"cause-{cause}")
        for cause, time in causes.items()
        if time
    ]
    return Bar(name=name, text=q.seconds((busy_ns + sum(causes.values())) * _NS), parts=parts)


def _causes(device: DeviceSummary, known: Mapping[str, str]) -> Table:
    rows = [
        [
            word(cause),
            _time(time, _CAUSED),
            _share(time / device.idle_ns if device.idle_ns else None, _CAUSED),
            word(known[cause]),
        ]
        for cause, time in sorted(device.idle_by_cause_ns.items(), key=lambda item: -item[1])
        if time
    ]
    columns = heads("cause", "time", "of idle", ("meaning", "meaning", USEFUL))
    return Table(caption="Idle by cause", columns=columns, rows=rows)


_ACCOUNT = (
    "window",
    "busy",
    "idle",
    ("idle share", "idle"),
    ("own work", "own work", DETAIL),
    ("mainly idle", "mainly\nidle", USEFUL),
)


def _account(account: Account) -> list[Cell]:
    return [
        _time(account.window_ns, "windows tile the span"),
        _time(account.busy_ns),
        _time(account.idle_ns),
        _share(account.idle_fraction),
        _time(account.own_busy_ns, "union of what it launched, wherever it ran"),
        _main_cause(account.idle_by_cause_ns),
    ]


def _main_cause(causes: Mapping[str, int]) -> Cell:
    whole = sum(causes.values())
    if not whole:
        return none("it did not idle")
    cause = max(causes, key=lambda name: causes[name])
    return Cell(text=f"{cause} {causes[cause] / whole:.0%}", method=_CAUSED)


def _phases(device: DeviceSummary) -> list[Block]:
    if not device.phases or {phase.phase for phase in device.phases} == {"other"}:
        return []
    rows = [[word(phase.phase), *_account(phase)] for phase in device.phases]
    structural = [phase.phase for phase in device.phases if phase.method == "autograd"]
    remarks = (
        [f"{' and '.join(structural)}: not annotated, found by autograd's structure"]
        if structural
        else []
    )
    bars = Bars(
        caption="Windows of the phases, all steps together: busy, then idle by cause.",
        bars=[
            _bar(phase.phase, phase.busy_ns, phase.idle_by_cause_ns)
            for phase in device.phases
            if phase.window_ns
        ],
    )
    remarks.append("windows tile the span, so idle adds up")
    table = Table(caption="Phases", columns=heads("phase", *_ACCOUNT), rows=rows, remarks=remarks)
    return [Only(where="page", blocks=[bars]), table]


def _steps(device: DeviceSummary) -> list[Block]:
    if not device.steps:
        return []
    shown = device.steps[:MOST_STEPS]
    rows = [
        [
            word(step.step.removeprefix("ProfilerStep")),
            *_account(step),
            _time(step.host_working_ns, "the step on the host, without its waits"),
            word(f"{step.launches:,}"),
        ]
        for step in shown
    ]
    hidden = len(device.steps) - len(shown)
    outside = device.outside_steps
    remarks = [f"{hidden} more steps are in the JSON."] if hidden else []
    if outside is not None and outside.window_ns:
        remarks.append(
            f"Outside all steps: {q.seconds(outside.window_ns * _NS)}, idle "
            f"{q.seconds(outside.idle_ns * _NS)}."
        )
    columns = heads("step", *_ACCOUNT, ("host working", "host"), "launches")
    return [Table(caption="Each step", columns=columns, rows=rows, remarks=remarks)]


# Timesteps ------------------------------------------------------------------------------------


def _recurrences(device: DeviceSummary) -> list[Block]:
    blocks: list[Block] = [
        block
        for recurrence in device.recurrences
        for block in (_recurrence(recurrence), *opened_timesteps(device, recurrence))
    ]
    lines = [f"{_phase(rejected.phase)}: {rejected.reason}" for rejected in device.not_recurrent]
    if lines:
        blocks.append(Only(where="detail", blocks=[Prose(lines=lines, tone="quiet")]))
    return blocks


def _rank(device: DeviceSummary) -> int:
    return 0 if device.recurrences else DETAIL


def _phase(phase: str) -> str:
    return "whole trace" if phase == "other" else phase


def _recurrence(recurrence: Recurrence) -> Chart:
    latency = [time * _NS for time in recurrence.latency_ns]
    gap = [time * _NS for time in recurrence.gap_ns]
    title = (
        f"{_phase(recurrence.phase)}: T = {recurrence.repeats} timesteps of "
        f"{recurrence.period} activities"
    )
    share = f"{recurrence.coverage:.0%} of the phase; the pass of median length is drawn."
    remarks = [share, *(f"{remark[0].upper()}{remark[1:]}." for remark in recurrence.remarks)]
    curves = [
        Curve(name="latency", colour="one", y=latency),
        Curve(name="of it nothing ran", colour="two", dash=True, y=gap),
    ]
    return Chart(
        title=title,
        label=f"{title}; median latency {q.seconds(median(latency))}, gap {q.seconds(median(gap))}",
        plot=over_timesteps(
            len(latency), 1, curves, yname="time in the timestep", log=is_wide(latency)
        ),
        table=_timestep_table(latency, gap),
        remarks=[*remarks, *overlapping(curves)],
    )


def _timestep_table(latency: Sequence[float], gap: Sequence[float]) -> Table:
    method = "kernels: first activity to that of the next timestep"
    rows = [
        [
            word(f"{part[0]:,}–{part[-1]:,}" if len(part) > 1 else f"{part[0]:,}"),
            Cell(text=q.seconds(median(latency[t] for t in part)), method=method),
            Cell(text=q.seconds(median(gap[t] for t in part)), method="kernels: nothing ran"),
        ]
        for part in stretches(len(latency), 12)
    ]
    columns = heads("timesteps", "latency (median)", "of it nothing ran")
    return Table(caption="Timesteps", columns=columns, rows=rows)


# What ran -------------------------------------------------------------------------------------


def _ran(device: DeviceSummary, view: View) -> list[Block]:
    what = "operator" if device.device is None else "kernel"
    most = MOST_KERNELS if view.kernels is None else view.kernels
    if not most or not device.kernels:
        return []
    rows = [
        [
            named(kernel.name),
            word(f"{kernel.count:,}"),
            _time(kernel.total_ns, "sum of durations"),
            _time(kernel.median_ns, "median of durations"),
            _share(kernel.share, "share of all durations"),
        ]
        for kernel in device.kernels[:most]
    ]
    first = FIRST_KERNELS if view.kernels is None else view.kernels
    return [
        Table(
            caption=f"By total time, {len(rows)} of {len(device.kernels)}",
            columns=heads(what, "count", "total", "median", "share"),
            rows=rows,
            ranks=[0 if index < first else DETAIL for index in range(len(rows))],
        )
    ]


def _moved(device: DeviceSummary) -> list[Block]:
    moved = [(t.kind, t.count, t.busy_ns, t.overlapped_ns) for t in device.transfers]
    moved += [(c.name, c.count, c.busy_ns, c.overlapped_ns) for c in device.collectives]
    if not moved:
        return []
    rows = [
        [named(name), word(f"{count:,}"), _time(busy), _time(over)]
        for name, count, busy, over in moved
    ]
    columns = heads("what", "count", "busy", ("under compute", "under\ncompute"))
    return [Table(caption="Copies and collectives", columns=columns, rows=rows)]
