"""The tables of a run's timesteps: latency one by one, or the derived cost of one more."""

from __future__ import annotations

from rich.console import Console

from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import Summary
from seqprof.analysis.timesteps import SLOW_SAMPLES, Bin, LoopLatency
from seqprof.analysis.verdict import loops_of, main_clock
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, notes, pairs, paragraph, table

#: Loops whose timesteps are shown row by row; of more, the slowest. The JSON has all.
MOST_LOOP_TABLES = 2
#: How a phase is called where timesteps are its subject.
NAMES = {"forward": "forward", "backward": "BPTT"}


def render_timesteps(summary: Summary, console: Console) -> None:
    """Print the latency of each timestep, forward and in BPTT, and their balance with the phase."""
    heading(console, "Latency of each timestep")
    if not summary.loops:
        paragraph(console, f"Not measured: {summary.timesteps_reason or 'no timestep was marked'}")
        return
    names = list(dict.fromkeys(loop.loop for loop in summary.loops))
    shown = _slowest_loops(summary, names)
    if len(names) > len(shown):
        _all_loops(summary, console, names)
    for name in shown:
        _loop(summary, console, name)
    _balances(summary, console)
    notes(console, [_perturbation(summary), _definition(summary)])


def _slowest_loops(summary: Summary, names: list[str]) -> list[str]:
    cost = dict.fromkeys(names, 0.0)
    for phase in NAMES:
        for loop in loops_of(summary, phase):
            cost[loop.loop] += loop.p50.value or 0.0
    slowest = sorted(names, key=lambda name: -cost[name])[:MOST_LOOP_TABLES]
    return [name for name in names if name in slowest]


def _all_loops(summary: Summary, console: Console, names: list[str]) -> None:
    typical = {
        (loop.loop, str(loop.phase)): q.time(loop.p50)
        for phase in NAMES
        for loop in loops_of(summary, phase)
    }
    rows = [[name, *(typical.get((name, phase), q.NOTHING) for phase in NAMES)] for name in names]
    table(console, ["loop", "forward p50", "BPTT p50"], rows)
    paragraph(console, f"The {MOST_LOOP_TABLES} slowest loops, row by row; the JSON has all:")


def _loop(summary: Summary, console: Console, name: str) -> None:
    clock = main_clock(summary)
    loops = [loop for loop in summary.loops if loop.loop == name]
    main = [loop for loop in loops if loop.clock == clock]
    if not main:
        return
    direction = ", from the last timestep to the first" if main[0].reverse else ""
    console.print()
    paragraph(
        console,
        f"{name} · measured · {clock} clock · T = {main[0].timesteps}{direction}",
        style="italic",
    )
    columns = ["timesteps"]
    cells: list[list[str]] = []
    for loop in main:
        host = _host_loop(loops, loop)
        label = NAMES[loop.phase]
        columns += [f"{label}\np50", f"{label}\np95"] + ([f"{label}\nhost p50"] if host else [])
        cells += _columns(loop, host)
    rows = [
        [_range(part), *(column[index] for column in cells)]
        for index, part in enumerate(main[0].bins)
    ]
    table(console, columns, rows)
    pairs(console, [(NAMES[loop.phase], _profile(loop)) for loop in main])
    pairs(
        console,
        [(f"slowest {NAMES[loop.phase]}", _slowest(loop)) for loop in main] + _operations(main),
    )


def _operations(loops: list[LoopLatency]) -> list[tuple[str, str]]:
    counts = [
        f"{q.count(loop.operations)} {NAMES[loop.phase]}"
        for loop in loops
        if loop.operations.value is not None
    ]
    return [("operations", ", ".join(counts) + " per timestep")] if counts else []


def _host_loop(loops: list[LoopLatency], device: LoopLatency) -> LoopLatency | None:
    """Return the host (issue) latency beside a device latency."""
    if device.clock == "host":
        return None
    return next((o for o in loops if o.clock == "host" and o.phase == device.phase), None)


def _columns(loop: LoopLatency, host: LoopLatency | None) -> list[list[str]]:
    columns = [
        [q.time(_p50(part)) for part in loop.bins],
        [q.seconds(part.p95_s, 2) for part in loop.bins],
    ]
    return columns + ([[q.time(_p50(part)) for part in host.bins]] if host else [])


def _p50(part: Bin) -> Estimate:
    return Estimate(value=part.p50_s, low=part.low_s, high=part.high_s, unit="s", method="measured")


def _range(part: Bin) -> str:
    return str(part.first) if part.first == part.last else f"{part.first}–{part.last}"


def _profile(loop: LoopLatency) -> str:
    top = max((value for value in loop.profile_s if value is not None), default=None)
    return f"{q.sparkline(loop.profile_s)}  0 to {q.seconds(top, 2)}"


def _slowest(loop: LoopLatency) -> str:
    if loop.samples < SLOW_SAMPLES:
        return f"none can be named: {loop.samples} measurements of each, {SLOW_SAMPLES} are needed"
    if not loop.slowest:
        return "none stands out"
    named = ", ".join(
        f"t = {slow.timestep} ({q.seconds(slow.p50_s, 2)}, {slow.ratio:.1f} × the median)"
        for slow in loop.slowest
    )
    more = loop.slow_timesteps - len(loop.slowest)
    return f"{named} and {more} more" if more else named


def _balances(summary: Summary, console: Console) -> None:
    """Show that timesteps and remainder make up the phase."""
    clock = main_clock(summary)
    rows, absent = [], []
    for balance in summary.balances:
        if balance.clock != clock:
            continue
        sums = [loop.sum_of_means for loop in loops_of(summary, balance.phase)]
        known = [estimate.value for estimate in sums if estimate.value is not None]
        total = sum(known) if sums and len(known) == len(sums) else None
        rows.append(
            [
                NAMES[balance.phase],
                q.seconds(total),
                q.time(balance.loop_time),
                q.time(balance.remainder),
                q.time(balance.phase_time),
            ]
        )
        absent += [("all timesteps", estimate) for estimate in sums]
        absent += [("loop and outside", balance.remainder)]
    console.print()
    columns = [
        "mean over\nprobed steps",
        "sum of all\ntimesteps",
        "whole\nloop",
        "outside\nthe loop",
        "phase",
    ]
    table(console, columns, rows)
    notes(console, q.reasons(absent))


def _perturbation(summary: Summary) -> str:
    found = summary.perturbation
    if found.change.value is None:
        return f"perturbation: {q.NOTHING} ({found.change.reason})"
    budget = f", budget {found.budget * 100:g}%" if found.budget is not None else ""
    interval = (
        f"95%: {q.percent_interval(found.change)}"
        if found.change.low is not None
        else "too few pairs for an interval"
    )
    return (
        f"perturbation: marks change a step by {q.percent(found.change)} ({interval}{budget}); "
        f"marked: {_marked(found.strides)}{_mark_cost(found.mark_cost)}"
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


def _definition(summary: Summary) -> str:
    text = (
        "p50, p95: over probed steps; a row is the median of its timesteps. forward[t]: from the "
        "entry of timestep t to that of t+1; BPTT[t]: from the gradient of h(t) to that of h(t-1)"
    )
    if main_clock(summary) == "device":
        text += ". host p50: time in which the host issues the timestep's work"
    return text


def render_marginal(summary: Summary, console: Console) -> None:
    """Print the derived cost of one more timestep, where it was swept."""
    if not summary.marginal:
        return
    heading(console, "Cost of one more timestep (derived, not timed one by one)")
    reason = next((m.marginal.reason for m in summary.marginal if m.marginal.reason), None)
    if reason is not None:
        paragraph(console, f"{q.NOTHING} {reason}")
        return
    rows = [
        [
            cost.phase,
            f"{q.time(cost.marginal)} (derived)",
            q.time_interval(cost.marginal),
            q.seconds(cost.fixed.value, 2),
            f"{cost.shortest}–{cost.longest}",
        ]
        for cost in summary.marginal
    ]
    table(console, ["phase", "per timestep", "95% interval", "fixed", "T"], rows)
    points = summary.marginal[0].marginal.n
    notes(
        console,
        [
            f"derived: Theil-Sen slope of time over T, {points} bare steps on prefixes of the "
            "sequences; fixed: what is left at T = 0"
        ],
    )
