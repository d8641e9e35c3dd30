"""Growth as plots: medians with their intervals, fits through them, and depth beside time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from seqprof.analysis.scale.growth import Growth
from seqprof.analysis.scale.summary import LengthGrowth, Meeting, ScaledSummary
from seqprof.analysis.statistics import Estimate, median
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import Cell, Chart, Table, heads, word
from seqprof.reports.plots import COLOURS, Curve, Lines, Mark, overlapping

#: Points of a fitted curve between the smallest and the largest size.
_CURVE = 48


def length_chart(summary: ScaledSummary, phase: str) -> Chart:
    """Return the time of a phase over T, one curve a candidate and batch size."""
    lines = [line for line in summary.lengths if line.phase == phase]
    points = {
        (p.label, p.timesteps, p.batch_size): getattr(p, phase)
        for p in summary.points
        if not p.failed
    }
    curves = [
        (
            line_name(line),
            line.growth,
            {
                t: estimate
                for (label, t, batch), estimate in points.items()
                if label == line.label and line.batch_size in (None, batch)
            },
        )
        for line in lines
    ]
    meetings = [m for m in summary.crossovers if m.quantity == "step" and phase == "step"]
    return _chart(f"Time of the {phase}", "T, timesteps", curves, meetings)


def line_name(line: LengthGrowth) -> str:
    """Name a candidate, and its batch size where it has one of several."""
    return line.label + ("" if line.batch_size is None else f", batch {line.batch_size}")


def _chart(
    title: str,
    xname: str,
    curves: Sequence[tuple[str, Growth, dict[int, Estimate]]],
    meetings: Sequence[Meeting] = (),
) -> Chart:
    """Draw medians with their intervals, and through them the line and the power law."""
    sizes = sorted({size for _, growth, _ in curves for size in growth.sizes})
    xs = _axis(sizes, meetings)
    drawn: list[Curve] = []
    for index, (name, growth, points) in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        drawn.append(_measured(name, colour, xs, points))
        drawn += [
            Curve(
                name=f"{name}: {fit}",
                colour=colour,
                y=_over(xs, growth, value),
                smooth=True,
                dash=fit == "power law",
            )
            for fit, value in _fits(growth)
        ]
    return Chart(
        title=title,
        label=f"{title} over {xname}, both axes logarithmic: "
        + "; ".join(f"{name}, {_described(growth)}" for name, growth, _ in curves),
        plot=Lines(
            x=xs,
            xname=xname,
            yname="time",
            unit="s",
            curves=drawn,
            log=True,
            xlog=True,
            xticks=sizes,
            marks=[mark for mark in map(_mark, meetings) if mark is not None],
        ),
        table=_medians(title, xname, curves),
        remarks=[
            "Points: medians over rounds with their 95 % intervals. Full line: fixed + price × "
            "size; dashed: one power law. Both are derived; their misfits are in the table.",
            *overlapping(drawn),
            *(["Vertical: where two cost the same, with its interval."] if meetings else []),
        ],
    )


def _axis(sizes: Sequence[int], meetings: Sequence[Meeting]) -> list[int]:
    """Return the measured sizes and enough between them for smooth curves."""
    if not sizes:
        return []
    beyond = [m.crossover.length.value for m in meetings if m.crossover.extrapolated]
    last = max([float(sizes[-1]), *(value for value in beyond if value is not None)])
    step = math.log(last / sizes[0]) / _CURVE
    between = (round(sizes[0] * math.exp(step * i)) for i in range(_CURVE + 1))
    return sorted({*sizes, *between})


def _measured(name: str, colour: str, xs: Sequence[int], points: dict[int, Estimate]) -> Curve:
    measured = [points.get(x) for x in xs]
    return Curve(
        name=name,
        colour=colour,
        points=True,
        y=[None if estimate is None else estimate.value for estimate in measured],
        low=[None if estimate is None else estimate.low for estimate in measured],
        high=[None if estimate is None else estimate.high for estimate in measured],
    )


def _fits(growth: Growth) -> list[tuple[str, Callable[[float], float]]]:
    slope, fixed, exponent = growth.marginal.value, growth.fixed.value, growth.exponent.value
    fits: list[tuple[str, Callable[[float], float]]] = []
    if slope is not None and fixed is not None:
        fits.append(("line", lambda x: fixed + slope * x))
    if exponent is not None:
        # The factor that the fit took: the median distance in logarithms.
        logs = [
            math.log(y) - exponent * math.log(x)
            for x, y in zip(growth.sizes, growth.medians_s, strict=True)
        ]
        factor = median(logs)
        fits.append(("power law", lambda x: math.exp(factor + exponent * math.log(x))))
    return fits


def _over(xs: Sequence[int], growth: Growth, value: Callable[[float], float]) -> list[float | None]:
    """Return a fit over the axis from its first size on; None where it is not positive."""
    first = growth.sizes[0]
    return [y if x >= first and (y := value(x)) > 0.0 else None for x in xs]


def _described(growth: Growth) -> str:
    if growth.exponent.value is None:
        return growth.exponent.reason or "no fit"
    return f"power {growth.exponent.value:.2f}, {q.time(growth.marginal)} for one more"


def _mark(meeting: Meeting) -> Mark | None:
    length = meeting.crossover.length
    if length.value is None:
        return None
    beyond = " (extrapolated)" if meeting.crossover.extrapolated else ""
    name = f"{meeting.first} = {meeting.second}{beyond}"
    return Mark(name=name, at=length.value, low=length.low, high=length.high)


def _medians(
    title: str, xname: str, curves: Sequence[tuple[str, Growth, dict[int, Estimate]]]
) -> Table:
    rows = [
        [word(name), word(f"{size:,}"), cells.time(estimate), cells.interval(estimate)]
        for name, _, points in curves
        for size, estimate in points.items()
    ]
    columns = heads("candidate", xname, "median", ("95 % interval", "95%"))
    return Table(caption=title, columns=columns, rows=rows)


def batch_chart(summary: ScaledSummary) -> Chart:
    """Return the time of a step over the batch, one curve a candidate and length."""
    curves = []
    for line in summary.batches:
        points = {
            p.batch_size: p.step
            for p in summary.points
            if (p.label, p.timesteps) == (line.label, line.timesteps) and not p.failed
        }
        curves.append((f"{line.label}, T {line.timesteps:,}", line.growth, points))
    return _chart("Time of the step", "batch, sequences", curves)


def depth_chart(summary: ScaledSummary) -> Chart | None:
    """Return the longest chain over T, as the time is drawn; None where none is known."""
    counted: dict[str, dict[int, int]] = {}
    for point in summary.points:
        if point.depth is not None and point.depth.depth_ops is not None:
            counted.setdefault(point.label, {})[point.timesteps] = point.depth.depth_ops
    xs = sorted({timesteps for counts in counted.values() for timesteps in counts})
    if len(xs) < 2:
        return None
    curves = [
        Curve(name=name, colour=COLOURS[index % len(COLOURS)], y=[counts.get(x) for x in xs])
        for index, (name, counts) in enumerate(counted.items())
    ]
    rows = [
        [word(name), word(f"{x:,}"), Cell(text=f"{depth:,}", method="counted, not timed")]
        for name, counts in counted.items()
        for x, depth in counts.items()
    ]
    title = "Longest chain of dependent operations"
    return Chart(
        title=title,
        label=f"{title} over T, both axes logarithmic",
        plot=Lines(
            x=xs,
            xname="T, timesteps",
            yname="operations",
            unit="operations",
            curves=curves,
            log=True,
            xlog=True,
            xticks=xs,
        ),
        table=Table(caption=title, columns=heads("candidate", "T", "operations"), rows=rows),
        remarks=["Counted, not timed: what no parallelism shortens.", *overlapping(curves)],
    )
