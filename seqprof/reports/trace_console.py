"""Trace summaries as tables on the console."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from seqprof.reports.layout import heading, pairs, paragraph, print_to, table

if TYPE_CHECKING:
    from rich.console import Console

    from seqprof.analysis.timeline.recurrence import Recurrence
    from seqprof.analysis.timeline.summary import Account, DeviceSummary, TraceSummary

#: Steps shown one by one; of more the rest is in the JSON.
STEPS_SHOWN = 12
#: Timesteps of a recurrence shown one by one.
TIMESTEPS_SHOWN = 6
#: What the other columns of the table of kernels need.
_NUMBERS_WIDTH = 42
_SHORTEST_NAME = 30

_CAUSE_MEANING = {
    "launch": "the host had not launched the next yet",
    "sync": "the host waited inside a synchronizing call",
    "data": "the host waited for its data loader",
    "communication": "the host awaited a collective",
    "dependency": "queued already; the device needed the gap",
    "unknown": "the next launch is not in the trace",
}
_PROCESSOR_CAUSE_MEANING = {
    "launch": "the host ran between operators (Python, autograd)",
    "sync": "inside a synchronizing call",
    "data": "inside data loading",
    "communication": "awaiting a collective",
}
_EVIDENCE = {
    "shared parameters": "gradients show that the repeats share their parameters",
    "same module": "the repeats call the same module",
    "pattern only": "told by the pattern alone; equal layers would look the same",
}


def print_trace(summary: TraceSummary, top: int = 10, file: TextIO | None = None) -> None:
    """Print everything about one trace; of kernels the ``top`` ones by total time."""
    print_to(file or sys.stdout, lambda console: _render(console, summary, top))


def _render(console: Console, summary: TraceSummary, top: int) -> None:
    parts = [f"{summary.events:,} events", f"{summary.profiler_steps} steps"]
    if summary.rank is not None:
        parts.append(f"rank {summary.rank}")
    heading(console, f"{summary.source}: {', '.join(parts)}")
    for device in summary.devices:
        _device(console, device, top)
    if summary.processor is not None:
        _device(console, summary.processor, top)
    if not summary.devices and summary.processor is None:
        paragraph(console, "Neither device activities nor operators: there is nothing to analyse.")
    if summary.caveats:
        heading(console, "Caveats")
        for caveat in summary.caveats:
            where = "" if caveat.device is None else f"device {caveat.device}: "
            paragraph(console, f"{where}{caveat.message}:", indent=0)
            paragraph(console, caveat.effect, style="dim", indent=4)


def _device(console: Console, device: DeviceSummary, top: int) -> None:
    _totals(console, device)
    _causes(console, device)
    _phases(console, device)
    _steps(console, device)
    _recurrences(console, device)
    _transfers(console, device)
    if top:
        _kernels(console, device, top)


def _totals(console: Console, device: DeviceSummary) -> None:
    is_processor = device.device is None
    what = "operators" if is_processor else "activities"
    lanes = "thread" if is_processor else "stream"
    lanes += "" if device.streams == 1 else "s"
    name = f" {device.name}," if device.name else ""
    counts = f"{device.activities:,} {what} on {device.streams} {lanes}"
    heading(console, f"{device.title}:{name} {counts}")
    rows = [
        ("span", f"{_ms(device.span_ns)} ms"),
        ("busy", f"{_ms(device.busy_ns)} ms ({_percent(1 - (device.idle_fraction or 0.0))})"),
        ("idle", f"{_ms(device.idle_ns)} ms ({_percent(device.idle_fraction)})"),
    ]
    if device.launchless:
        rows.append(
            (
                "launched only",
                f"busy {_ms(device.busy_launched_only_ns)} ms without the {device.launchless:,} "
                "activities that have no recorded launch",
            )
        )
    pairs(console, rows if is_processor else [*rows, ("host", _host(device))])


def _host(device: DeviceSummary) -> str:
    host = device.host
    verdict = (
        "the device is kept busy"
        if host.bound_by == "device"
        else f"{host.bound_by}-bound: most idle time is of that cause"
    )
    parts = [verdict, f"{host.launches:,} launches"]
    if host.starved_fraction is not None:
        parts.append(f"{_percent(host.starved_fraction)} of them onto a device with nothing left")
    if host.median_launch_latency_ns is not None:
        parts.append(f"median launch to start {host.median_launch_latency_ns / 1e3:,.1f} µs")
    return "; ".join(parts)


def _causes(console: Console, device: DeviceSummary) -> None:
    meaning = _PROCESSOR_CAUSE_MEANING if device.device is None else _CAUSE_MEANING
    causes = {cause: time for cause, time in device.idle_by_cause_ns.items() if time}
    if not causes:
        return
    heading(console, "Idle by cause")
    rows = [
        (f"{cause}: {meaning[cause]}", _ms(time), _percent(time / device.idle_ns))
        for cause, time in sorted(causes.items(), key=lambda item: -item[1])
    ]
    table(console, ("cause", "ms", "of idle"), rows)


def _phases(console: Console, device: DeviceSummary) -> None:
    if not device.phases or {phase.phase for phase in device.phases} == {"other"}:
        return
    heading(console, "Phases (ms; windows tile the span, so idle adds up)")
    rows = [
        (phase.phase, *_times(phase), _ms(phase.own_busy_ns), _main_cause(phase.idle_by_cause_ns))
        for phase in device.phases
    ]
    columns = ("phase", "window", "busy", "idle", "idle %", "own work", "mainly idle")
    table(console, columns, rows)
    structural = [phase.phase for phase in device.phases if phase.method == "autograd"]
    if structural:
        found = " and ".join(structural)
        paragraph(console, f"{found}: not annotated, found by autograd's structure", style="dim")


def _steps(console: Console, device: DeviceSummary) -> None:
    if not device.steps:
        return
    heading(console, "Steps (ms; host: without its waits)")
    rows = [
        (
            step.step.removeprefix("ProfilerStep"),
            *_times(step),
            _ms(step.host_working_ns),
            f"{step.launches:,}",
            _main_cause(step.idle_by_cause_ns),
        )
        for step in device.steps[:STEPS_SHOWN]
    ]
    columns = ("step", "window", "busy", "idle", "idle %", "host", "launches", "mainly idle")
    table(console, columns, rows)
    hidden = len(device.steps) - STEPS_SHOWN
    if hidden > 0:
        paragraph(console, f"{hidden} more steps in --json", style="dim")
    outside = device.outside_steps
    if outside is not None and outside.window_ns:
        text = f"outside all steps: {_ms(outside.window_ns)} ms, idle {_ms(outside.idle_ns)} ms"
        paragraph(console, text, style="dim")


def _times(account: Account) -> tuple[str, str, str, str]:
    return (
        _ms(account.window_ns),
        _ms(account.busy_ns),
        _ms(account.idle_ns),
        _percent(account.idle_fraction),
    )


def _recurrences(console: Console, device: DeviceSummary) -> None:
    heading(console, "Recurrence (timesteps found by what repeats)")
    for found in device.recurrences:
        _recurrence(console, found, is_processor=device.device is None)
    for rejected in device.not_recurrent:
        pattern = (
            f" ({rejected.period} symbols, {rejected.repeats} times)" if rejected.period else ""
        )
        paragraph(console, f"{_phase(rejected.phase)}: none; {rejected.reason}{pattern}")
    if not device.recurrences and not device.not_recurrent:
        paragraph(console, "none; no phase in which a model runs")


def _recurrence(console: Console, found: Recurrence, *, is_processor: bool) -> None:
    one, many = ("operator", "operators") if is_processor else ("activity", "activities")
    symbols = one if found.period == 1 else many
    text = (
        f"{_phase(found.phase)}: T = {found.repeats} timesteps of {found.period} {symbols}, "
        f"{_percent(found.coverage)} of the phase; median latency "
        f"{found.median_latency_ns / 1e3:,.1f} µs, gaps {found.median_gap_ns / 1e3:,.1f} µs"
    )
    paragraph(console, text)
    notes = [_EVIDENCE[found.evidence]]
    if found.agreeing < found.passes:
        notes.append(f"{found.agreeing} of {found.passes} passes searched agree")
    if found.outer_period:
        notes.append(f"all of it repeats {found.outer_repeats} times")
    shown = ", ".join(f"{time / 1e3:,.1f}" for time in found.latency_ns[:TIMESTEPS_SHOWN])
    rest = ", …" if len(found.latency_ns) > TIMESTEPS_SHOWN else ""
    notes.append(f"first timesteps {shown}{rest} µs")
    paragraph(console, "; ".join(notes), style="dim", indent=4)


def _phase(phase: str) -> str:
    return "whole trace" if phase == "other" else phase


def _transfers(console: Console, device: DeviceSummary) -> None:
    rows = [
        (transfer.kind, f"{transfer.count:,}", _ms(transfer.busy_ns), _ms(transfer.overlapped_ns))
        for transfer in device.transfers
    ] + [
        (
            short_name(collective.name, console.width - _NUMBERS_WIDTH),
            f"{collective.count:,}",
            _ms(collective.busy_ns),
            _ms(collective.overlapped_ns),
        )
        for collective in device.collectives
    ]
    if rows:
        heading(console, "Copies and collectives")
        table(console, ("what", "count", "busy ms", "under compute ms"), rows)


def _kernels(console: Console, device: DeviceSummary, top: int) -> None:
    what = "operator" if device.device is None else "kernel"
    width = max(console.width - _NUMBERS_WIDTH, _SHORTEST_NAME)
    heading(console, f"By total time, {min(top, len(device.kernels))} of {len(device.kernels)}")
    rows = [
        (
            short_name(kernel.name, width),
            f"{kernel.count:,}",
            _ms(kernel.total_ns),
            f"{kernel.median_ns / 1e3:,.1f}",
            _percent(kernel.share),
        )
        for kernel in device.kernels[:top]
    ]
    table(console, (what, "count", "total ms", "median µs", "share"), rows)


def short_name(name: str, width: int) -> str:
    """A kernel's name without template arguments and parameters; both ends of a long one."""
    short = name.removeprefix("void ").replace("(anonymous namespace)::", "")
    short = short.removeprefix("autograd::engine::evaluate_function: ")
    # CUTLASS calls every kernel Kernel or Kernel2; which one it is, only its argument says.
    short = re.sub(r"^cutlass::Kernel\d*<(\w+)>.*", r"\1", short)
    while (stripped := re.sub(r"<[^<>]*>", "", short)) != short:
        short = stripped
    short = re.sub(r"\(.*", "", short) if re.match(r"[\w:~]+\(", short) else short
    short = short.strip() or name
    short = "".join(char if char.isprintable() else "?" for char in short)
    if len(short) > width:
        keep = (width - 1) // 2
        short = f"{short[: width - 1 - keep]}…{short[-keep:]}"
    return short


def _main_cause(causes: Mapping[str, int]) -> str:
    whole = sum(causes.values())
    if not whole:
        return ""
    cause = max(causes, key=lambda name: causes[name])
    return f"{cause} {causes[cause] / whole:.0%}"


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:,.3f}"


def _percent(fraction: float | None) -> str:
    return "—" if fraction is None else f"{fraction:.1%}"
