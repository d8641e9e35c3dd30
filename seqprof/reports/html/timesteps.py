"""The section of a run that shows each timestep's latency."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from seqprof.analysis.statistics import Estimate, median
from seqprof.analysis.summary import Summary
from seqprof.analysis.timesteps import SLOW_SAMPLES, Bin, LoopLatency
from seqprof.analysis.verdict import main_clock
from seqprof.recording import TimestepLatency, Trial
from seqprof.reports import quantities as q
from seqprof.reports.html import cells
from seqprof.reports.html.blocks import Block, Cell, Chart, Prose, Section, Table, none, word
from seqprof.reports.html.packed import stretched, thinned
from seqprof.reports.html.plots import Curve, is_wide, over_timesteps

#: How a phase is called where timesteps are its subject.
NAMES = {"forward": "forward", "backward": "BPTT"}
#: Values of all loops that a page holds: about 6 bytes each. Beyond it neighbours share a point.
MOST_VALUES = 600_000
#: Arrays of a loop, phase and clock: median, p05 and p95.
_ARRAYS = 3


def timestep_section(summary: Summary, trial: Trial) -> Section:
    """Return the section; where no timestep was timed it says why."""
    title = "Latency of each timestep"
    if not trial.latencies:
        reason = summary.timesteps_reason or "no timestep was marked"
        return Section(title=title, blocks=[Prose(lines=[f"Not measured: {reason}."])])
    values = _ARRAYS * sum(len(latency.p50_s) for latency in trial.latencies)
    span = thinned(values, MOST_VALUES)
    names = dict.fromkeys(latency.loop for latency in trial.latencies)
    blocks: list[Block] = [Prose(lines=[_method(summary)], tone="quiet")]
    blocks += [_chart(name, summary, trial, span) for name in names]
    blocks.append(_balance(summary))
    return Section(title=title, blocks=blocks)


def _method(summary: Summary) -> str:
    found = summary.perturbation
    told = "Measured by marks at each timestep, in probed steps that alternate with bare ones. "
    if found.change.value is None:
        return told + f"Perturbation: {q.NOTHING} ({found.change.reason})."
    within = f" ({q.percent_interval(found.change)})" if found.change.low is not None else ""
    return told + (
        f"The marks changed the step by {q.percent(found.change)}{within}; step and phase times "
        "are of bare steps and do not contain it."
    )


def _chart(name: str, summary: Summary, trial: Trial, span: int) -> Chart:
    clock = main_clock(summary)
    own = [latency for latency in trial.latencies if latency.loop == name]
    main = [latency for latency in own if latency.clock == clock]
    host = [latency for latency in own if latency.clock != clock]
    timesteps = max(len(latency.p50_s) for latency in own)
    span = max(span, *map(_sparse, own))
    medians = [value for latency in main for value in latency.p50_s]
    highest = max((value for latency in main for value in latency.p95_s if value), default=None)
    curves = [_band(latency, span) for latency in main]
    curves += [_line(latency, span) for latency in host]
    reverse = any(latency.reverse for latency in own)
    remarks = ["Line: median over the probed steps; band: 5 % to 95 % of them."]
    if span > 1:
        remarks.append(
            f"Each point stands for {span} neighbouring timesteps: the median of their medians, "
            "the smallest 5 % and the largest 95 % quantile. The JSON has single ones."
        )
    if told := _unmarked(own):
        remarks.append(told)
    if reverse:
        remarks.append("This loop runs from the last timestep to the first.")
    loops = [loop for loop in summary.loops if loop.loop == name and loop.clock == clock]
    remarks += [f"{NAMES[loop.phase]}: {_slow(loop)}" for loop in loops]
    return Chart(
        title=name,
        label=f"Latency of each of {timesteps} timesteps of {name}, {clock} clock: "
        + ", ".join(f"{NAMES[loop.phase]} typically {q.time(loop.p50)}" for loop in loops),
        plot=over_timesteps(
            timesteps, span, curves, yname="latency", log=is_wide([*medians, highest])
        ),
        table=_table(name, clock, loops),
        remarks=remarks,
    )


def _sparse(latency: TimestepLatency) -> int:
    """Return how many neighbours must share a point for none to be empty, where most would be.

    Of a long sequence whose marks rotate, a short run marks few timesteps: single ones would be
    specks. A stretch as long as the widest gap holds one that was marked.
    """
    marked = [timestep for timestep, value in enumerate(latency.p50_s) if value is not None]
    if len(marked) < 2 or 2 * len(marked) > len(latency.p50_s):
        return 1
    edges = [-1, *marked, len(latency.p50_s)]
    return max(after - before for before, after in pairwise(edges))


def _unmarked(latencies: Sequence[TimestepLatency]) -> str | None:
    """Say how many timesteps were marked in no probed step; None if all were in some."""
    every = max(len(latency.p50_s) for latency in latencies)
    marked = min(sum(value is not None for value in each.p50_s) for each in latencies)
    if marked == every:
        return None
    return (
        f"{marked:,} of {every:,} timesteps were marked in these probed steps; "
        "`measure.pairs` and `measure.max_s` bring more."
    )


def _band(latency: TimestepLatency, span: int) -> Curve:
    return Curve(
        name=f"{NAMES[latency.phase]} ({latency.clock})",
        colour=latency.phase,
        y=stretched(latency.p50_s, span, median),
        low=stretched(latency.p05_s, span, min),
        high=stretched(latency.p95_s, span, max),
    )


def _line(latency: TimestepLatency, span: int) -> Curve:
    return Curve(
        name=f"{NAMES[latency.phase]} ({latency.clock})",
        colour=latency.phase,
        dash=True,
        y=stretched(latency.p50_s, span, median),
    )


def _slow(loop: LoopLatency) -> str:
    if loop.samples < SLOW_SAMPLES:
        return (
            f"no slow timestep can be named: {loop.samples} measurements of each, "
            f"{SLOW_SAMPLES} are needed"
        )
    if not loop.slowest:
        return "no timestep stands out"
    told = ", ".join(
        f"t = {slow.timestep:,} ({q.seconds(slow.p50_s)}, {slow.ratio:.1f} × the typical)"
        for slow in loop.slowest
    )
    more = loop.slow_timesteps - len(loop.slowest)
    return f"slow in nearly every step: {told}" + (f" and {more} more" if more > 0 else "")


def _table(name: str, clock: str, loops: Sequence[LoopLatency]) -> Table:
    columns = ["timesteps"]
    for loop in loops:
        label = NAMES[loop.phase]
        columns += [f"{label} median", f"{label} p95", f"{label} operations"]
    parts = loops[0].bins if loops else ()
    rows = [
        [word(_range(part)), *(cell for loop in loops for cell in _bin(loop, index))]
        for index, part in enumerate(parts)
    ]
    return Table(
        caption=f"{name}, {clock} clock",
        columns=columns,
        rows=rows,
        remarks=["A row is the median over its timesteps; the JSON and CSV have every one."],
    )


def _range(part: Bin) -> str:
    return f"{part.first:,}" if part.first == part.last else f"{part.first:,}–{part.last:,}"


def _bin(loop: LoopLatency, index: int) -> list[Cell]:
    part = loop.bins[index]
    reason = "not marked"
    p50 = Estimate(value=part.p50_s, low=part.low_s, high=part.high_s, unit="s", method="measured")
    return [
        none(reason) if part.p50_s is None else Cell(text=q.time(p50), method="measured"),
        cells.seconds(part.p95_s, "measured", reason, 2),
        cells.count(loop.operations),
    ]


def _balance(summary: Summary) -> Table:
    rows = [
        [
            word(f"{NAMES[balance.phase]} ({balance.clock})"),
            cells.time(balance.phase_time),
            cells.time(balance.loop_time),
            cells.time(balance.remainder),
        ]
        for balance in summary.balances
    ]
    return Table(
        caption="Timesteps against their phase: do they add up?",
        columns=["phase", "time", "all timesteps", "outside the loops"],
        rows=rows,
    )
