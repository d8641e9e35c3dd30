"""The console report of `seqprof scale`: points, growth, crossovers and a plot."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.growth import DESCRIBES_WITHIN, SATURATED_BELOW, Growth, Saturation
from seqprof.analysis.scaled import BatchGrowth, LengthGrowth, Meeting, Point, ScaledSummary
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import decimals, digits_of, span
from seqprof.reports import quantities as q
from seqprof.reports.caveats_console import print_caveats, print_essentials
from seqprof.reports.compare_console import microseconds, milliseconds
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table
from seqprof.reports.plot import plot

_BUSY = {
    "nvml_utilization": "Idle: 1 - NVML's utilization while the step was repeated.",
    "core_busy_fraction": "Cores idle: 1 - process CPU time / (wall time × threads); without an "
    "accelerator the processor stands in for it.",
}
_MEMORY = {
    "allocator": "Peak memory: the allocator's.",
    "resident_set": "Peak memory: of the whole process, Python and torch included.",
}


def print_scaling(
    summary: ScaledSummary, file: TextIO | None = None, *, quiet: bool = False
) -> None:
    """Print the report to ``file`` (default: stdout), in the width and colours that it takes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: ScaledSummary, console: Console, *, quiet: bool = False) -> None:
    """Print the report, or with ``quiet`` only what it comes to."""
    told = summary.sentences or ("Too few points were measured to tell how it grows.",)
    if quiet:
        print_essentials(told, summary.caveats, console)
        return
    _header(summary, console)
    for label in dict.fromkeys(point.label for point in summary.points):
        _points(label, [p for p in summary.points if p.label == label], console)
    _point_remarks(summary.points, console)
    _growth(summary.lengths, console)
    _batches(summary.batches, console)
    _crossovers(summary.crossovers, console)
    _plots(summary, console)
    print_caveats(summary.caveats, console)
    heading(console, "In short")
    for sentence in told:
        paragraph(console, sentence)


def _header(summary: ScaledSummary, console: Console) -> None:
    environment = summary.environment
    console.print(Text(f"seqprof {environment.seqprof} scale", style="bold"))
    rounds = [point.step.n for point in summary.points if not point.failed] or [0]
    told = str(rounds[0]) if len(set(rounds)) == 1 else f"{min(rounds)} to {max(rounds)}"
    pairs(
        console,
        [
            ("device", environment.device.name),
            ("threads", f"{environment.threads} on {environment.cores} cores"),
            ("software", f"torch {environment.torch} · Python {environment.python}"),
            ("rounds", f"{told} of each point, in a new order each"),
        ],
    )


def _points(label: str, points: Sequence[Point], console: Console) -> None:
    heading(console, label)
    measured = [point for point in points if not point.failed]
    rows = [
        [
            f"{p.timesteps:,}",
            f"{p.batch_size:,}",
            milliseconds(p.step),
            milliseconds(p.forward),
            milliseconds(p.backward),
            q.size(p.peak_memory),
            q.percent(q.complement(p.busy)),
            _depth(p),
        ]
        for p in measured
    ]
    columns = ["T", "batch", "step\nms", "forward\nms", "backward\nms", "peak\nmemory"]
    idle = "idle" if points[0].busy_source == "nvml_utilization" else "cores\nidle"
    if rows:
        table(console, [*columns, idle, "depth\nops"], rows)
    _law(points, console)
    for point in points:
        if point.failed:
            where = f"T = {point.timesteps:,}, batch {point.batch_size:,}"
            paragraph(console, f"{where}: {point.failed}", style="yellow")
    nulls = [
        (name, estimate)
        for p in measured
        for name, estimate in (("idle", p.busy), ("memory", p.peak_memory))
    ]
    for reason in q.reasons(nulls):
        paragraph(console, f"{q.NOTHING} {reason}", style="dim")


def _point_remarks(points: Sequence[Point], console: Console) -> None:
    known = [point for point in points if not point.failed]
    if known:
        paragraph(
            console,
            "~ noisy: half of the interval is 5 % of the value or more. "
            f"{_BUSY[known[0].busy_source]} {_MEMORY.get(known[0].peak_memory.method, '')}",
            style="dim",
        )


def _depth(point: Point) -> str:
    found = point.depth
    return q.NOTHING if found is None or found.depth_ops is None else f"{found.depth_ops:,}"


def _law(points: Sequence[Point], console: Console) -> None:
    """Say how the longest chain of dependent operations grows, once for all lengths."""
    depths = [p.depth for p in points if p.depth is not None and not p.failed]
    found = next((depth for depth in depths if depth.lengths), None)
    if found is not None and found.law is not None:
        paragraph(console, f"depth over T (derived): {q.law(found.law, found.coefficients)}")
    for reason in dict.fromkeys(depth.reason for depth in depths if depth.reason):
        paragraph(console, f"{q.NOTHING} depth: {reason}", style="dim")


def _growth(lengths: Sequence[LengthGrowth], console: Console) -> None:
    rows = [
        [
            f"{line.label} {line.phase}{_at_batch(line)}",
            microseconds(line.growth.marginal),
            _interval(line.growth.marginal, 1e-6),
            _fixed(line.growth),
            _power(line.growth.exponent),
            _misfit(line.growth),
        ]
        for line in lengths
    ]
    if not rows:
        return
    heading(console, "Growth with T")
    columns = ["", "µs per\ntimestep*", "95 %\ninterval", "fixed\nms", "power\nof T"]
    table(console, [*columns, "misfit: line,\npower"], rows)
    paragraph(
        console,
        "* derived: Theil–Sen slope over the lengths. Misfit: largest distance of a median from "
        "the line and from the power law. Fixed: what no timestep pays for; — where the line "
        f"misses a median by over {DESCRIBES_WITHIN:.0%}, or the interval reaches 0.",
        style="dim",
    )
    local = [line for line in lengths if line.phase == "step" and line.growth.local_exponents]
    if local:
        heading(console, "Between neighbouring T: power of T, µs per timestep*")
    for line in local:
        parts = (
            f"{part.start:,}–{part.stop:,}: {_power(part.exponent)}, {microseconds(part.marginal)}"
            for part in line.growth.local_exponents
        )
        paragraph(console, f"{line.label}{_at_batch(line)}: {'; '.join(parts)}")


def _at_batch(line: LengthGrowth) -> str:
    return "" if line.batch_size is None else f", B {line.batch_size}"


def _interval(estimate: Estimate, unit: float) -> str:
    if estimate.low is None or estimate.high is None:
        return q.NOTHING
    return span(estimate.low / unit, estimate.high / unit)


def _fixed(growth: Growth) -> str:
    """Write the intercept where it means something: a line that fits, a cost above nothing."""
    low = growth.fixed.low
    supported = growth.is_line and low is not None and low > 0.0
    return milliseconds(growth.fixed) if supported else q.NOTHING


def _power(exponent: Estimate) -> str:
    """Write a power of T: to two decimals at the most."""
    if exponent.value is None:
        return q.NOTHING
    places = min(2, decimals(exponent.value, digits_of(exponent)))
    return f"{exponent.value:.{places}f}"


def _misfit(growth: Growth) -> str:
    if growth.line_misfit is None or growth.power_misfit is None:
        return q.NOTHING
    return f"{growth.line_misfit:.0%}, {growth.power_misfit:.0%}"


def _batches(batches: Sequence[BatchGrowth], console: Console) -> None:
    if not batches:
        return
    heading(console, "Growth with the batch")
    rows = [
        [
            f"{line.label}, T {line.timesteps:,}",
            microseconds(line.growth.marginal),
            _fixed(line.growth),
            f"{line.growth.sizes[-1]:,}",
            q.percent(line.saturation.last_lift),
            _saturated(line.saturation),
        ]
        for line in batches
    ]
    columns = ["", "µs per\nsequence*", "fixed\nms", "largest\nbatch", "its lift of\nsequences/s"]
    table(console, [*columns, "saturated\nfrom"], rows)
    paragraph(
        console,
        f"Saturated: from here on no doubling of the batch lifts sequences/s by "
        f"{SATURATED_BELOW:.0%}; in brackets how many resamples of the rounds agree.",
        style="dim",
    )


def _saturated(found: Saturation) -> str:
    agreement = "" if found.agreement is None else f" ({found.agreement:.0%})"
    return ("not reached" if found.batch is None else f"{found.batch:,}") + agreement


def _crossovers(crossovers: Sequence[Meeting], console: Console) -> None:
    if not crossovers:
        return
    heading(console, "Crossovers")
    same: dict[tuple[str, str], list[int]] = {}
    for meeting in crossovers:
        what = "time" if meeting.quantity == "step" else "memory"
        batches = same.setdefault(
            (f"{meeting.first} / {meeting.second}, {what}", _crossing(meeting)), []
        )
        batches += [] if meeting.batch_size is None else [meeting.batch_size]
    for (what, told), batches in same.items():
        at = f", batch {', '.join(map(str, batches))}" if batches else ""
        paragraph(console, f"{what}{at}: {told}")


def _crossing(meeting: Meeting) -> str:
    length = meeting.crossover.length
    if length.value is None:
        return f"none: {length.reason}"
    mark = " extrapolated" if meeting.crossover.extrapolated else ""
    return f"T = {length.value:,.0f} ({length.low:,.0f}–{length.high:,.0f}){mark}"


def _plots(summary: ScaledSummary, console: Console) -> None:
    curves: dict[str, list[tuple[float, float]]] = {}
    along_t = bool(summary.lengths) or not summary.batches
    for point in summary.points:
        if point.step.value is None:
            continue
        several = any(
            line.label == point.label and line.batch_size not in (None, point.batch_size)
            for line in summary.lengths
        )
        apart = f" B={point.batch_size}" if along_t and several else ""
        x = point.timesteps if along_t else point.batch_size
        curves.setdefault(point.label + apart, []).append((x, point.step.value * 1e3))
    if len({x for curve in curves.values() for x, _ in curve}) < 2:
        return
    heading(console, "Step time")
    name = "T (log)" if along_t else "batch (log)"
    for line in plot(curves, x_name=name, y_name="ms (log)", width=min(80, console.width)):
        console.print(Text(line, no_wrap=True, overflow="crop"))
