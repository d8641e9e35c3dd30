"""The section of a run that shows each timestep's latency."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from seqprof.analysis.run.phases import headline_kind
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.run.timesteps import SLOW_SAMPLES, Bin, LoopLatency
from seqprof.analysis.run.verdict import loops_of, main_clock
from seqprof.analysis.statistics import Estimate, median
from seqprof.analysis.wording import digits_of
from seqprof.recording import TimestepLatency, Trial
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    Block,
    Cell,
    Chart,
    Facts,
    Only,
    Prose,
    Section,
    Table,
    heads,
    none,
    word,
)
from seqprof.reports.documents.run.calls import (
    calls_in_short,
    counted,
    facts_of,
    length_of,
    unit_of,
)
from seqprof.reports.documents.run.marginal import marginal_sections
from seqprof.reports.documents.run.repeats import NAMES, repeats
from seqprof.reports.plots import Curve, is_wide, over_timesteps, overlapping, stretched, thinned

_UNMARKED = "not marked"
#: Values of all loops that a page holds: about 6 bytes each. Beyond it neighbours share a point.
MOST_VALUES = 600_000
#: Loops whose timesteps are shown row by row in a terminal; of more, the slowest.
MOST_LOOPS = 2
#: Where n falls below this share of the most, a table shows it.
THINS_OUT = 0.8
#: Arrays of a loop, phase and clock: median, p05 and p95.
_ARRAYS = 3


def timestep_sections(summary: Summary, trial: Trial) -> list[Section]:
    """Return the latency of each timestep, or the derived cost of one more; else why neither."""
    title = "Latency of each timestep"
    if not trial.latencies:
        reason = summary.timesteps_reason or "no timestep was marked"
        shown = repeats(summary.profile, reason) if summary.profile is not None else []
        absent = Prose(lines=[f"Not measured: {reason}."])
        return [*marginal_sections(summary), Section(title=title, blocks=shown or [absent])]
    values = _ARRAYS * sum(len(latency.p50_s) for latency in trial.latencies)
    span = thinned(values, MOST_VALUES)
    names = list(dict.fromkeys(latency.loop for latency in trial.latencies))
    slowest = _slowest_loops(summary, names)
    blocks: list[Block] = []
    if len(names) > len(slowest):
        blocks.append(_all_loops(summary, trial, names))
    for name in names:
        chart = _chart(name, summary, trial, span)
        blocks += [chart] if name in slowest else [Only(where="page", blocks=[chart])]
    blocks += [
        Only(where="screen", blocks=[Prose(lines=[_in_short(summary)], tone="quiet")]),
        Only(where="detail", blocks=[_balance(summary), Facts(pairs=_method(summary))]),
    ]
    return [Section(title=title, blocks=blocks), *marginal_sections(summary, rank=DETAIL)]


def _slowest_loops(summary: Summary, names: Sequence[str]) -> list[str]:
    cost = dict.fromkeys(names, 0.0)
    for phase in NAMES:
        for loop in loops_of(summary, phase):
            cost[loop.loop] += loop.p50.value or 0.0
    return sorted(names, key=lambda name: -cost[name])[:MOST_LOOPS]


def _all_loops(summary: Summary, trial: Trial, names: Sequence[str]) -> Table:
    typical = {
        (loop.loop, str(loop.phase)): cells.time(loop.p50)
        for phase in NAMES
        for loop in loops_of(summary, phase)
    }
    absent = none("not marked in this phase")
    uneven = any(counted(facts_of(trial, name)) for name in names)
    calls = ("calls",) if uneven else ()
    rows = [
        [
            word(name),
            *([word(calls_in_short(facts_of(trial, name)))] if uneven else []),
            *(typical.get((name, phase), absent) for phase in NAMES),
        ]
        for name in names
    ]
    return Table(
        caption=f"All loops; of these the {MOST_LOOPS} slowest are shown timestep by timestep",
        columns=heads("loop", *calls, "forward p50", "BPTT p50"),
        rows=rows,
    )


def _in_short(summary: Summary) -> str:
    change = summary.perturbation.change
    if change.value is None:
        return f"perturbation: {q.NOTHING} ({change.reason})"
    within = f" (95%: {q.percent_interval(change)})" if change.low is not None else ""
    return (
        f"measured on the {main_clock(summary)} clock; marks change a step by "
        f"{q.percent(change)}{within}"
    )


def _method(summary: Summary) -> list[tuple[str, str]]:
    definition = (
        "p50, p95: over probed steps; a row is the median of its timesteps. forward[t]: from the "
        "entry of timestep t to that of t+1; BPTT[t]: from the gradient of h(t) to that of h(t-1)"
    )
    if main_clock(summary) == "device":
        definition += ". host p50: time in which the host issues the timestep's work"
    return [("perturbation", _perturbation(summary)), ("definition", definition)]


def _perturbation(summary: Summary) -> str:
    marks = summary.perturbation
    if marks.change.value is None:
        return f"{q.NOTHING} ({marks.change.reason})"
    budget = f", budget {marks.budget * 100:g}%" if marks.budget is not None else ""
    interval = (
        f"95%: {q.percent_interval(marks.change)}"
        if marks.change.low is not None
        else "too few pairs for an interval"
    )
    return (
        f"marks change a step by {q.percent(marks.change)} ({interval}{budget}); "
        f"marked: {_marked(marks.strides)}{_mark_cost(marks.mark_cost)}; step and phase times are "
        f"of {headline_kind(summary.step)} steps and do not contain it"
    )


def _mark_cost(cost: Estimate) -> str:
    if cost.value is None:
        return ""
    return f"; a timestep's marks cost {q.time(cost)}, about half of it inside each BPTT latency"


def _marked(strides: tuple[int, ...]) -> str:
    if strides == (1,):
        return "every timestep"
    listed = " or ".join(map(str, strides))
    return f"one timestep in {listed} per step, the offset rotating"


def _chart(name: str, summary: Summary, trial: Trial, span: int) -> Chart:
    clock = main_clock(summary)
    own = [latency for latency in trial.latencies if latency.loop == name]
    main = [latency for latency in own if latency.clock == clock]
    host = [latency for latency in own if latency.clock != clock]
    timesteps = max(len(latency.p50_s) for latency in own)
    span = max(span, *map(_sparse, own))
    medians = [value for latency in main for value in latency.p50_s]
    highest = max((value for latency in main for value in latency.p95_s if value), default=None)
    facts = facts_of(trial, name)
    unit, counts = unit_of(facts), counted(facts)
    curves = [_band(latency, span) for latency in main]
    curves += [_line(latency, span) for latency in host]
    reverse = any(latency.reverse for latency in own)
    remarks = ["Line: median over the probed steps; band: 5 % to 95 % of them."]
    if span > 1:
        remarks.append(
            f"Each point stands for {span} neighbouring {unit}s: the median of their medians, "
            "the smallest 5 % and the largest 95 % quantile. The JSON has single ones."
        )
    if unmarked := _unmarked(own, unit):
        remarks.append(unmarked)
    if reverse:
        remarks.append("This loop runs from the last timestep to the first.")
    loops = [loop for loop in summary.loops if loop.loop == name and loop.clock == clock]
    remarks += [f"{NAMES[loop.phase]}: {_slow(loop)}" for loop in loops]
    remarks += overlapping(curves)
    issued = [loop for loop in summary.loops if loop.loop == name and loop.clock != clock]
    return Chart(
        title=f"{name}: {counts}" if counts else name,
        label=f"Latency of each of {timesteps} {unit}s of {name}, {clock} clock: "
        + ", ".join(f"{NAMES[loop.phase]} typically {q.time(loop.p50)}" for loop in loops),
        plot=over_timesteps(
            timesteps, span, curves, yname="latency", log=is_wide([*medians, highest]), xname=unit
        ),
        table=_table(name, clock, loops, issued, length_of(loops, summary)),
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


def _unmarked(latencies: Sequence[TimestepLatency], unit: str) -> str | None:
    """Say how many timesteps were marked in no probed step; None if all were in some."""
    every = max(len(latency.p50_s) for latency in latencies)
    marked = min(sum(value is not None for value in each.p50_s) for each in latencies)
    if marked == every:
        return None
    return (
        f"{marked:,} of {every:,} {unit}s were marked in these probed steps; "
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
            f"too few measurements to name a slow timestep ({loop.samples} of each, need "
            f"{SLOW_SAMPLES})"
        )
    if not loop.slowest:
        return "no timestep stands out"
    at = "t =" if unit_of(loop.counts) == "timestep" else "call"
    slowest = ", ".join(
        f"{at} {slow.timestep:,} ({q.seconds(slow.p50_s)}, {slow.ratio:.1f} × the typical)"
        for slow in loop.slowest
    )
    more = loop.slow_timesteps - len(loop.slowest)
    return f"slow in nearly every step: {slowest}" + (f" and {more} more" if more > 0 else "")


def _table(
    name: str,
    clock: str,
    loops: Sequence[LoopLatency],
    host: Sequence[LoopLatency],
    longest: int,
) -> Table:
    unit = unit_of(loops[0].counts if loops else None)
    names: list[str | tuple[str, str]] = [f"{unit}s"]
    for loop in loops:
        label = NAMES[loop.phase]
        names += [(f"{label} median", f"{label}\np50"), (f"{label} p95", f"{label}\np95")]
        if _host(host, loop) is not None:
            names.append((f"{label} median, host", f"{label}\nhost p50"))
    parts = loops[0].bins if loops else ()
    counts = [part.samples for part in parts]
    thins_out = bool(counts) and min(counts) < THINS_OUT * max(counts)
    if thins_out:
        names.append("n")
    rows = [
        [
            word(_range(part)),
            *(cell for loop in loops for cell in _bin(loop, _host(host, loop), index)),
            *([word(f"{part.samples:,}")] if thins_out else []),
        ]
        for index, part in enumerate(parts)
    ]
    return Table(
        caption=_caption(name, clock, loops, longest),
        columns=heads(*names),
        rows=rows,
        remarks=[
            f"A row is the median over its {unit}s; the JSON and CSV have every one.",
            *([f"n: measurements of that {unit} of the row that has fewest."] if thins_out else []),
            *_operations(loops),
        ],
    )


def _caption(name: str, clock: str, loops: Sequence[LoopLatency], longest: int) -> str:
    fewest = min((loop.samples for loop in loops), default=0)
    direction = ", from the last timestep to the first" if loops and loops[0].reverse else ""
    return f"{name} · measured · {clock} clock · T = {longest:,}{direction} · n = {fewest} or more"


def _operations(loops: Sequence[LoopLatency]) -> list[str]:
    counts = [
        f"{q.count(loop.operations)} {NAMES[loop.phase]}"
        for loop in loops
        if loop.operations.value is not None
    ]
    unit = unit_of(loops[0].counts if loops else None)
    return [f"operations: {', '.join(counts)} per {unit}"] if counts else []


def _host(host: Sequence[LoopLatency], device: LoopLatency) -> LoopLatency | None:
    """Return the host (issue) latency beside a device latency."""
    return next((loop for loop in host if loop.phase == device.phase), None)


def _range(part: Bin) -> str:
    return f"{part.first:,}" if part.first == part.last else f"{part.first:,}–{part.last:,}"


def _bin(loop: LoopLatency, host: LoopLatency | None, index: int) -> list[Cell]:
    if index >= len(loop.bins):  # of a shorter loop
        return [word("")] * (2 if host is None else 3)
    issued = [] if host is None else [_p50(part) for part in host.bins[index : index + 1]]
    return [*p50_and_p95(loop.bins[index]), *(issued or [word("")] * (host is not None))]


def p50_and_p95(part: Bin) -> list[Cell]:
    """Return both, to as many digits: the p95 must not look smaller than the p50."""
    return [_p50(part), cells.seconds(part.p95_s, "measured", _UNMARKED, _digits(part))]


def _p50(part: Bin) -> Cell:
    if part.p50_s is None:
        return none(_UNMARKED)
    return Cell(text=q.seconds(part.p50_s, _digits(part)), method="measured")


def _digits(part: Bin) -> int:
    p50 = Estimate(value=part.p50_s, low=part.low_s, high=part.high_s, unit="s", method="measured")
    return max(2, digits_of(p50))


def _balance(summary: Summary) -> Table:
    """Show that timesteps and remainder make up the phase."""
    rows = []
    for balance in summary.balances:
        loops = [
            loop
            for loop in summary.loops
            if loop.phase == balance.phase and loop.clock == balance.clock
        ]
        rows.append(
            [
                word(f"{NAMES[balance.phase]} ({balance.clock})"),
                _sum([loop.sum_of_means for loop in loops]),
                cells.time(balance.loop_time),
                cells.time(balance.remainder),
                cells.time(balance.phase_time),
            ]
        )
    return Table(
        caption="Timesteps against their phase",
        columns=heads(
            ("mean over probed steps", "mean over\nprobed steps"),
            ("sum of all timesteps", "sum of all\ntimesteps"),
            ("whole loop", "whole\nloop"),
            ("outside the loops", "outside\nthe loop"),
            "phase",
        ),
        rows=rows,
    )


def _sum(parts: Sequence[Estimate]) -> Cell:
    known = [part.value for part in parts if part.value is not None]
    if not parts or len(known) < len(parts):
        reason = next((part.reason for part in parts if part.reason), None)
        return none(reason or "not measured")
    return Cell(text=q.seconds(sum(known)), method=parts[0].method)
