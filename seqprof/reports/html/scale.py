"""The page of `seqprof scale`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from seqprof.analysis.growth import Growth
from seqprof.analysis.scaled import LengthGrowth, Meeting, Point, ScaledSummary
from seqprof.analysis.statistics import Estimate, median
from seqprof.reports import quantities as q
from seqprof.reports.formats import Result
from seqprof.reports.html import cells
from seqprof.reports.html.blocks import (
    Article,
    Block,
    Cell,
    Chart,
    Facts,
    Folded,
    Prose,
    Section,
    Table,
    none,
    word,
)
from seqprof.reports.html.header import caveats, place, when
from seqprof.reports.html.plots import COLOURS, Curve, Lines, Mark

#: Points of a fitted curve between the smallest and the largest size.
_CURVE = 48


def article(result: Result) -> Article:
    """Return the page of one scaling."""
    summary: ScaledSummary = result.summary
    labels = list(dict.fromkeys(point.label for point in summary.points))
    told = summary.sentences or ("Too few points were measured to tell how it grows.",)
    sections = [
        caveats(summary.caveats),
        Section(title="In short", blocks=[Prose(lines=told)]),
        *_along_lengths(summary),
        *_along_batches(summary),
        *_crossovers(summary.crossovers),
        Section(title="All points", blocks=[_points(summary.points)]),
        _about(summary),
    ]
    return Article(
        title=f"Growth of {', '.join(labels)}",
        subtitle=f"{result.name} · {summary.environment.device.name} · {when(summary.created)}",
        sections=sections,
    )


# Over T ---------------------------------------------------------------------------------------


def _along_lengths(summary: ScaledSummary) -> list[Section]:
    if not summary.lengths:
        return []
    blocks: list[Block] = [_length_chart(summary, "step")]
    folded = [_length_chart(summary, "forward"), _length_chart(summary, "backward")]
    blocks.append(_growth_table(summary.lengths))
    blocks.append(_local_table(summary.lengths))
    blocks.append(Folded(summary="Forward and backward apart", blocks=folded))
    return [Section(title="Growth with the sequence length T", blocks=blocks)]


def _length_chart(summary: ScaledSummary, phase: str) -> Chart:
    lines = [line for line in summary.lengths if line.phase == phase]
    points = {
        (p.label, p.timesteps, p.batch_size): getattr(p, phase)
        for p in summary.points
        if not p.failed
    }
    curves = [
        (
            _line_name(line),
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


def _line_name(line: LengthGrowth) -> str:
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
        + "; ".join(f"{name}, {_told(growth)}" for name, growth, _ in curves),
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
    found = [points.get(x) for x in xs]
    return Curve(
        name=name,
        colour=colour,
        points=True,
        y=[None if estimate is None else estimate.value for estimate in found],
        low=[None if estimate is None else estimate.low for estimate in found],
        high=[None if estimate is None else estimate.high for estimate in found],
    )


def _fits(growth: Growth) -> list[tuple[str, Callable[[float], float]]]:
    slope, fixed, exponent = growth.marginal.value, growth.fixed.value, growth.exponent.value
    found: list[tuple[str, Callable[[float], float]]] = []
    if slope is not None and fixed is not None:
        found.append(("line", lambda x: fixed + slope * x))
    if exponent is not None:
        # The factor that the fit took: the median distance in logarithms.
        logs = [
            math.log(y) - exponent * math.log(x)
            for x, y in zip(growth.sizes, growth.medians_s, strict=True)
        ]
        factor = median(logs)
        found.append(("power law", lambda x: math.exp(factor + exponent * math.log(x))))
    return found


def _over(xs: Sequence[int], growth: Growth, value: Callable[[float], float]) -> list[float | None]:
    """Return a fit over the axis from its first size on; None where it is not positive."""
    first = growth.sizes[0]
    return [y if x >= first and (y := value(x)) > 0.0 else None for x in xs]


def _told(growth: Growth) -> str:
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
    columns = ["candidate", xname, "median", "95 % interval"]
    return Table(caption=title, columns=columns, rows=rows)


def _growth_table(lines: Sequence[LengthGrowth]) -> Table:
    rows = [
        [
            word(_line_name(line)),
            word(line.phase),
            cells.time(line.growth.marginal),
            cells.interval(line.growth.marginal),
            cells.time(line.growth.fixed),
            _misfit(line.growth.line_misfit),
            cells.number(line.growth.exponent, _power),
            cells.interval(line.growth.exponent, _power_interval),
            _misfit(line.growth.power_misfit),
        ]
        for line in lines
    ]
    columns = [
        "candidate", "phase", "per timestep (derived)", "95 % interval", "fixed",
        "misfit of the line", "power of T", "95 % interval of it", "misfit of the power",
    ]  # fmt: skip
    return Table(
        caption="Fits over T",
        columns=columns,
        rows=rows,
        remarks=["misfit: largest distance of a median from the fit, over the median"],
    )


def _power(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}"


def _power_interval(estimate: Estimate) -> str:
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def _misfit(value: float | None) -> Cell:
    if value is None:
        return none("nothing was fitted")
    return Cell(text=f"{value:.0%}", method="largest |median − fit| / median")


def _local_table(lines: Sequence[LengthGrowth]) -> Table:
    rows = [
        [
            word(_line_name(line)),
            word(f"{part.start:,}–{part.stop:,}"),
            cells.number(part.exponent, _power),
            cells.interval(part.exponent, _power_interval),
        ]
        for line in lines
        if line.phase == "step"
        for part in line.growth.local_exponents
    ]
    columns = ["candidate", "T", "local power", "95 % interval"]
    return Table(caption="Where the growth of a step changes", columns=columns, rows=rows)


# Over the batch -------------------------------------------------------------------------------


def _along_batches(summary: ScaledSummary) -> list[Section]:
    if not summary.batches:
        return []
    curves = []
    for line in summary.batches:
        points = {
            p.batch_size: p.step
            for p in summary.points
            if (p.label, p.timesteps) == (line.label, line.timesteps) and not p.failed
        }
        curves.append((f"{line.label}, T {line.timesteps}", line.growth, points))
    rows = [
        [
            word(f"{line.label}, T {line.timesteps}"),
            cells.time(line.growth.marginal),
            cells.interval(line.growth.marginal),
            cells.time(line.growth.fixed),
            word(f"{line.saturation.batch:,}")
            if line.saturation.batch is not None
            else none(line.saturation.reason or "not found"),
        ]
        for line in summary.batches
    ]
    table = Table(
        caption="Fits over the batch",
        columns=["candidate", "per sequence (derived)", "95 % interval", "fixed", "saturated from"],
        rows=rows,
        remarks=["saturated: from here on doubling the batch lifts the throughput by under 10 %"],
    )
    chart = _chart("Time of the step", "batch, sequences", curves)
    return [Section(title="Growth with the batch", blocks=[chart, table])]


# Crossovers and points ------------------------------------------------------------------------


def _crossovers(meetings: Sequence[Meeting]) -> list[Section]:
    if not meetings:
        return []
    columns = ["candidates", "cost", "batch", "equal at", "95 % interval", "cheaper below it"]
    rows = [_crossing(meeting) for meeting in meetings]
    table = Table(caption="Where two cost the same", columns=columns, rows=rows)
    return [Section(title="Crossovers", blocks=[table])]


def _crossing(meeting: Meeting) -> list[Cell]:
    found = meeting.crossover
    beyond = " (extrapolated)" if found.extrapolated else ""
    cheaper = {0: meeting.first, 1: meeting.second}
    return [
        word(f"{meeting.first} / {meeting.second}"),
        word("time" if meeting.quantity == "step" else "peak memory"),
        word("each" if meeting.batch_size is None else meeting.batch_size),
        cells.number(found.length, lambda length: f"T = {length.value:,.0f}{beyond}"),
        cells.interval(found.length, lambda length: f"{length.low:,.0f}–{length.high:,.0f}"),
        none(found.length.reason or "not known")
        if found.cheaper_below is None
        else word(cheaper[found.cheaper_below]),
    ]


def _points(points: Sequence[Point]) -> Table:
    rows = [
        [
            word(p.label),
            word(f"{p.timesteps:,}"),
            word(f"{p.batch_size:,}"),
            cells.time(p.step),
            cells.interval(p.step),
            cells.time(p.forward),
            cells.time(p.backward),
            cells.size(p.peak_memory),
            cells.percent(p.busy),
            word(p.step.n),
        ]
        for p in points
    ]
    columns = [
        "candidate", "T", "batch", "step", "95 % interval", "forward", "backward", "peak memory",
        f"busy ({points[0].busy_source.replace('_', ' ')})", "rounds",
    ]  # fmt: skip
    return Table(caption="Measured points", columns=columns, rows=rows)


def _about(summary: ScaledSummary) -> Section:
    facts = [
        ("command", summary.command),
        ("measured at", summary.created),
        ("seed", str(summary.seed)),
        *place(summary.environment),
    ]
    return Section(title="What was measured, and where", blocks=[Facts(pairs=facts)])
