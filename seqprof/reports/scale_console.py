"""The console report of `seqprof scale`: points, growth, crossovers and a plot."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.growth import Growth
from seqprof.analysis.scaled import LengthGrowth, Meeting, Point, ScaledSummary
from seqprof.analysis.statistics import Estimate
from seqprof.reports import quantities as q
from seqprof.reports.compare_console import microseconds, milliseconds, print_caveats
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table
from seqprof.reports.plot import plot


def print_scaling(
    summary: ScaledSummary, file: TextIO | None = None, *, quiet: bool = False
) -> None:
    """Print the report to ``file`` (default: stdout), in the width and colours that it takes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: ScaledSummary, console: Console, *, quiet: bool = False) -> None:
    """Print the report, or with ``quiet`` only what it comes to."""
    if not quiet:
        _header(summary, console)
        for label in dict.fromkeys(point.label for point in summary.points):
            _points(label, [p for p in summary.points if p.label == label], console)
        _growth(summary.lengths, console)
        _batches(summary, console)
        _crossovers(summary.crossovers, console)
        _plots(summary, console)
        print_caveats(summary.caveats, console)
        heading(console, "In short")
    for sentence in summary.sentences or ("Too few points were measured to tell how it grows.",):
        paragraph(console, sentence)
    if quiet:
        for caveat in summary.caveats:
            paragraph(console, f"{caveat.severity}: {caveat.text} ({caveat.evidence})")


def _header(summary: ScaledSummary, console: Console) -> None:
    environment = summary.environment
    console.print(Text(f"seqprof {environment.seqprof} scale", style="bold"))
    rounds = [point.step.n for point in summary.points if not point.failed]
    told = f"{min(rounds)} to {max(rounds)} of each point" if rounds else "none"
    pairs(
        console,
        [
            ("device", environment.device.name),
            ("threads", f"{environment.threads} on {environment.cores} cores"),
            ("software", f"torch {environment.torch} · Python {environment.python}"),
            ("rounds", f"{told}, in a new order each"),
        ],
    )


def _points(label: str, points: Sequence[Point], console: Console) -> None:
    heading(console, label)
    rows = [
        [
            f"{p.timesteps:,}",
            f"{p.batch_size:,}",
            milliseconds(p.step),
            milliseconds(p.forward),
            milliseconds(p.backward),
            q.size(p.peak_memory),
            q.percent(_idle(p.core_busy)),
            _depth(p),
        ]
        for p in points
        if not p.failed
    ]
    columns = ["T", "batch", "step\nms", "forward\nms", "backward\nms", "peak\nmemory"]
    table(console, [*columns, "cores\nidle", "depth\nops"], rows)
    _law(points, console)
    for point in points:
        if point.failed:
            where = f"T = {point.timesteps:,}, batch {point.batch_size:,}"
            paragraph(console, f"{where}: {point.failed}", style="yellow")


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


def _idle(busy: Estimate) -> Estimate:
    if busy.value is None:
        return busy
    return Estimate(value=1.0 - busy.value, unit="1", method=busy.method, n=busy.n)


def _growth(lengths: Sequence[LengthGrowth], console: Console) -> None:
    rows = [
        [
            f"{line.label} {line.phase}"
            + ("" if line.batch_size is None else f", B {line.batch_size}"),
            microseconds(line.growth.marginal),
            _interval(line.growth.marginal, 1e-6, 1),
            milliseconds(line.growth.fixed),
            "—" if line.growth.exponent.value is None else f"{line.growth.exponent.value:.2f}",
            _misfit(line.growth),
        ]
        for line in lengths
    ]
    if not rows:
        return
    heading(console, "Growth with T")
    table(
        console,
        [
            "",
            "µs per\ntimestep*",
            "95 %\ninterval",
            "fixed\nms",
            "power\nof T",
            "misfit line\n/ power",
        ],
        rows,
    )
    for line in lengths:
        if line.phase == "step" and line.growth.local_exponents:
            local = "  ".join(
                f"{part.start}–{part.stop}: {part.exponent.value:.2f}"
                for part in line.growth.local_exponents
            )
            paragraph(console, f"{line.label}: local power of T, {local}")
    paragraph(console, "* derived: Theil–Sen slope over the lengths", style="dim")


def _interval(estimate: Estimate, unit: float, places: int) -> str:
    if estimate.low is None or estimate.high is None:
        return q.NOTHING
    return f"{estimate.low / unit:,.{places}f}–{estimate.high / unit:,.{places}f}"


def _misfit(growth: Growth) -> str:
    if growth.line_misfit is None or growth.power_misfit is None:
        return q.NOTHING
    return f"{growth.line_misfit:.0%} / {growth.power_misfit:.0%}"


def _batches(summary: ScaledSummary, console: Console) -> None:
    if not summary.batches:
        return
    heading(console, "Growth with the batch")
    rows = []
    for line in summary.batches:
        found = line.saturation
        rows.append(
            [
                f"{line.label}, T {line.timesteps}",
                microseconds(line.growth.marginal),
                milliseconds(line.growth.fixed),
                found.reason or f"{found.batch}",
            ]
        )
    table(console, ["", "µs per\nsequence", "fixed\nms", "saturated from"], rows)


def _crossovers(crossovers: Sequence[Meeting], console: Console) -> None:
    if not crossovers:
        return
    heading(console, "Crossovers")
    for meeting in crossovers:
        length = meeting.crossover.length
        what = "time" if meeting.quantity == "step" else "memory"
        at = "" if meeting.batch_size is None else f", batch {meeting.batch_size}"
        if length.value is None:
            told = f"none: {length.reason}"
        else:
            told = f"T = {length.value:,.0f} ({_interval(length, 1.0, 0)})"
            told += " extrapolated" if meeting.crossover.extrapolated else ""
        paragraph(console, f"{meeting.first} / {meeting.second}, {what}{at}: {told}")


def _plots(summary: ScaledSummary, console: Console) -> None:
    done = [point for point in summary.points if point.step.value]
    along_t = len({point.timesteps for point in done}) > 1
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in done:
        batches = {other.batch_size for other in done if other.label == point.label}
        name = point.label
        if along_t and len(batches) > 1 and any(line.batch_size for line in summary.lengths):
            name += f" B={point.batch_size}"
        x = point.timesteps if along_t else point.batch_size
        curves.setdefault(name, []).append((x, (point.step.value or 0.0) * 1e3))
    if len({x for curve in curves.values() for x, _ in curve}) < 2:
        return
    heading(console, "Step time")
    name = "T (log)" if along_t else "batch (log)"
    for line in plot(curves, x_name=name, y_name="ms (log)", width=min(80, console.width)):
        console.print(Text(line, no_wrap=True, overflow="crop"))
