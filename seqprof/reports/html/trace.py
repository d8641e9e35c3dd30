"""The page of `seqprof trace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seqprof.analysis.statistics import median
from seqprof.analysis.timeline.recurrence import Recurrence
from seqprof.analysis.timeline.summary import Account, DeviceSummary, TraceSummary
from seqprof.analysis.timesteps import stretches
from seqprof.reports import quantities as q
from seqprof.reports.formats import Result
from seqprof.reports.html.blocks import (
    Article,
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Folded,
    Headline,
    Part,
    Prose,
    Section,
    Table,
    Warned,
    none,
    word,
)
from seqprof.reports.html.header import beware
from seqprof.reports.html.plots import Curve, is_wide, over_timesteps
from seqprof.reports.html.profiled import CAUSES, PROCESSOR_CAUSES
from seqprof.reports.trace_console import short_name

#: Kernels and steps that a table shows; the JSON has all.
MOST_KERNELS, MOST_STEPS = 30, 200
#: Characters of a kernel's name before it is opened.
LONGEST_NAME = 60
_METHOD = "exact: union of all intervals in the trace"
_CAUSED = "exact: gaps of the device by what the host did"
_EVIDENCE = {
    "shared parameters": "gradients show that the repeats share their parameters",
    "same module": "the repeats call the same module",
    "pattern only": "told by the pattern alone; equal layers would look the same",
}
_NS = 1e-9


def article(result: Result) -> Article:
    """Return the page of one trace."""
    summary: TraceSummary = result.summary
    warned = [
        Warned(
            severity="warning",
            text=caveat.message,
            evidence="" if caveat.device is None else f"device {caveat.device}",
            remedy=caveat.effect,
        )
        for caveat in summary.caveats
    ]
    steps = summary.profiler_steps
    parts = [f"{summary.events:,} events", f"{steps} step" if steps == 1 else f"{steps} steps"]
    parts += [f"rank {summary.rank}"] if summary.rank is not None else []
    devices = [*summary.devices, *([summary.processor] if summary.processor is not None else [])]
    nothing = Section(
        title="Nothing to analyse",
        blocks=[Prose(lines=["The trace holds neither device activities nor operators."])],
    )
    return Article(
        title=f"Trace {summary.source}",
        subtitle=", ".join(parts),
        sections=[
            beware(warned),
            *(section for device in devices for section in _device(device, len(devices) > 1)),
            *([] if devices else [nothing]),
        ],
    )


def _device(device: DeviceSummary, is_one_of_many: bool) -> list[Section]:
    is_processor = device.device is None
    head = f"{device.title}: {device.name}" if device.name else device.title
    known = PROCESSOR_CAUSES if is_processor else CAUSES
    blocks: list[Block] = [_totals(device), Prose(lines=_host(device))]
    if any(device.idle_by_cause_ns.values()):
        blocks += [
            Bars(
                caption="The whole span: busy, then idle by cause.",
                bars=[_bar("span", device.busy_ns, device.idle_by_cause_ns)],
            ),
            _causes(device, known),
        ]
    sections = [Section(title=head, blocks=blocks)]
    of = f" (device {device.device})" if is_one_of_many else ""
    for title, found in (
        ("Phases", _phases(device)),
        ("Steps", _steps(device)),
        ("Timesteps found in what repeats", _recurrences(device)),
        ("What ran", _ran(device)),
    ):
        if found:
            sections.append(Section(title=title + of, blocks=found))
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
    columns = ["cause", "time", "of idle", "meaning"]
    return Table(caption="Idle by cause", columns=columns, rows=rows)


_ACCOUNT = ["window", "busy", "idle", "idle share", "own work", "mainly idle"]


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
    return [
        Bars(
            caption="Windows of the phases, all steps together: busy, then idle by cause.",
            bars=[
                _bar(phase.phase, phase.busy_ns, phase.idle_by_cause_ns)
                for phase in device.phases
                if phase.window_ns
            ],
        ),
        Table(caption="Phases", columns=["phase", *_ACCOUNT], rows=rows, remarks=remarks),
    ]


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
    columns = ["step", *_ACCOUNT, "host working", "launches"]
    return [Table(caption="Each step", columns=columns, rows=rows, remarks=remarks)]


# Timesteps ------------------------------------------------------------------------------------


def _recurrences(device: DeviceSummary) -> list[Block]:
    blocks: list[Block] = [_recurrence(found) for found in device.recurrences]
    lines = [
        f"{_phase(rejected.phase)}: none; {rejected.reason}"
        + (f" ({rejected.period} symbols, {rejected.repeats} times)" if rejected.period else "")
        for rejected in device.not_recurrent
    ]
    if not blocks and not lines:
        return []
    return [*blocks, *([Prose(lines=lines, tone="quiet")] if lines else [])]


def _phase(phase: str) -> str:
    return "whole trace" if phase == "other" else phase


def _recurrence(found: Recurrence) -> Chart:
    latency = [time * _NS for time in found.latency_ns]
    gap = [time * _NS for time in found.gap_ns]
    title = f"{_phase(found.phase)}: T = {found.repeats} timesteps of {found.period} activities"
    remarks = [
        f"From the kernels that repeat, {found.coverage:.0%} of the phase; "
        f"{_EVIDENCE[found.evidence]}. The pass of median length is drawn.",
    ]
    if found.agreeing < found.passes:
        remarks.append(f"{found.agreeing} of {found.passes} passes searched agree.")
    if found.outer_period:
        remarks.append(f"All of it repeats {found.outer_repeats} times.")
    return Chart(
        title=title,
        label=f"{title}; median latency {q.seconds(median(latency))}, gap {q.seconds(median(gap))}",
        plot=over_timesteps(
            len(latency),
            1,
            [
                Curve(name="latency", colour="one", y=latency),
                Curve(name="of it nothing ran", colour="two", dash=True, y=gap),
            ],
            yname="time in the timestep",
            log=is_wide(latency),
        ),
        table=_timestep_table(latency, gap),
        remarks=remarks,
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
    columns = ["timesteps", "latency (median)", "of it nothing ran"]
    return Table(caption="Timesteps", columns=columns, rows=rows)


# What ran -------------------------------------------------------------------------------------


def _named(name: str) -> Cell:
    """Return a kernel's name without template arguments and parameters, with the whole to open."""
    short = short_name(name, LONGEST_NAME)
    return word(name) if short == name else Cell(text=short, full=name)


def _ran(device: DeviceSummary) -> list[Block]:
    what = "operator" if device.device is None else "kernel"
    rows = [
        [
            _named(kernel.name),
            word(f"{kernel.count:,}"),
            _time(kernel.total_ns, "sum of durations"),
            _time(kernel.median_ns, "median of durations"),
            _share(kernel.share, "share of all durations"),
        ]
        for kernel in device.kernels[:MOST_KERNELS]
    ]
    columns = [what, "count", "total", "median", "share"]
    shown = f"By total time, {len(rows)} of {len(device.kernels)}"
    blocks: list[Block] = [Table(caption=shown, columns=columns, rows=rows)]
    moved = [(t.kind, t.count, t.busy_ns, t.overlapped_ns) for t in device.transfers]
    moved += [(c.name, c.count, c.busy_ns, c.overlapped_ns) for c in device.collectives]
    if moved:
        table = Table(
            caption="Copies and collectives",
            columns=["what", "count", "busy", "under compute"],
            rows=[
                [word(name), word(f"{count:,}"), _time(busy), _time(over)]
                for name, count, busy, over in moved
            ],
        )
        blocks.append(Folded(summary="Copies and collectives", blocks=[table]))
    return blocks
