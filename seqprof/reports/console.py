"""The report on the console: what `seqprof run` prints, and `seqprof show` prints again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.findings import Header
from seqprof.analysis.idle import PhaseIdle
from seqprof.analysis.phases import PhaseSummary
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import Summary
from seqprof.analysis.timesteps import SLOW_SAMPLES, Bin, LoopLatency
from seqprof.analysis.verdict import loops_of, main_clock
from seqprof.recording import DepthLaw
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table
from seqprof.reports.profile_console import render_profile

#: Loops whose timesteps are shown row by row; of more, the slowest. The JSON has all.
MOST_LOOP_TABLES = 2
#: How a phase is called where timesteps are its subject.
NAMES = {"forward": "forward", "backward": "BPTT"}
_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def print_report(summary: Summary, file: TextIO | None = None, *, quiet: bool = False) -> None:
    """Print the report to ``file`` (default: stdout), in the width and colours that it takes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: Summary, console: Console, *, quiet: bool = False) -> None:
    """Print the report, or with ``quiet`` only its essential lines."""
    if quiet:
        _essentials(summary, console)
        return
    _header(summary, console)
    _phases(summary, console)
    _timesteps(summary, console)
    _marginal(summary, console)
    _idle(summary, console)
    _dwells(summary, console)
    if summary.profile is not None:
        render_profile(summary.profile, console, NAMES)
    _caveats(summary, console)
    _verdict(summary, console)


def _essentials(summary: Summary, console: Console) -> None:
    shares = ", ".join(
        f"{phase.phase} {q.percent(phase.share)}"
        for phase in summary.phases
        if phase.phase in ("forward", "backward")
    )
    workload = summary.header.workload
    paragraph(
        console,
        f"{_model(summary.header)}, T = {workload.timesteps}, batch {workload.batch_size}: "
        f"step {_with_interval(summary.step)}; {shares or 'no phase measured'}",
    )
    for sentence in summary.verdict.sentences:
        paragraph(console, sentence)
    for caveat in summary.caveats:
        if caveat.severity != "note":
            paragraph(console, f"{caveat.severity}: {caveat.text} ({caveat.evidence})")


# Header ---------------------------------------------------------------------------------------


def _header(summary: Summary, console: Console) -> None:
    header = summary.header
    environment, workload = header.environment, header.workload
    console.print(Text(f"seqprof {environment.seqprof}", style="bold"))
    device = environment.device
    place = device.name if not device.is_accelerator else f"{device.kind}: {device.name}"
    host = f" of {environment.cpu}" if device.is_accelerator else ""
    versions = [f"torch {environment.torch}", f"Python {environment.python}"]
    if environment.driver:
        versions.append(f"driver {environment.driver}")
    pairs(
        console,
        [
            ("model", f"{_model(header)} · {workload.parameters:,} parameters"),
            ("data", workload.data),
            ("batch", _batch(summary)),
            ("training", ", ".join(_training(header))),
            ("device", place),
            ("threads", f"{environment.threads} on {environment.cores} cores{host}"),
            ("software", " · ".join(versions)),
            ("measured", _measured(header)),
            ("step", f"{_with_interval(summary.step)} · {_throughput(summary)}"),
            *([("depth", _depth(summary.depth))] if summary.depth is not None else []),
        ],
    )


def _model(header: Header) -> str:
    workload = header.workload
    form = f" ({workload.execution})" if workload.execution else ""
    shape = [
        key if value is True else f"{key.removesuffix('_size')} {value}"
        for key, value in header.shape.items()
    ]
    return " · ".join([f"{workload.model}{form}", *shape])


def _batch(summary: Summary) -> str:
    workload = summary.header.workload
    parts = [f"{workload.batch_size} sequences × {workload.timesteps} timesteps"]
    if workload.micro_batches > 1:
        parts.append(f"{workload.micro_batches} micro-batches per step")
    if summary.padding.value:
        parts.append(f"{q.percent(summary.padding)} padding")
    return " · ".join(parts)


def _training(header: Header) -> list[str]:
    workload = header.workload
    parts = [workload.optimizer, workload.precision]
    if workload.truncate:
        parts.append(f"BPTT truncated to {workload.truncate} timesteps")
    if workload.checkpointed:
        parts.append("activation checkpointing")
    if workload.compiled:
        parts.append("compiled")
    return [*parts, f"seed {header.seed}"]


def _measured(header: Header) -> str:
    text = (
        f"{header.bare_steps} bare and {header.probed_steps} probed steps, "
        f"after {header.warmup_steps} for warm-up"
    )
    return f"interrupted: {text}" if header.interrupted else text


def _throughput(summary: Summary) -> str:
    if summary.throughput.value is None:
        return f"throughput: {summary.throughput.reason}"
    return f"{q.rate(summary.throughput)} timesteps/s"


def _depth(depth: DepthLaw) -> str:
    """How many operations wait for each other, as in 15·T + 8 = 968 of 2,316."""
    if depth.depth_ops is None:
        return f"{depth.law or q.NOTHING} ({depth.reason or 'the law does not hold at this T'})"
    grows = depth.law is not None and any(term != "1" for term in depth.coefficients)
    law = f"{depth.law} = " if grows else ""
    of = "" if depth.work_ops is None else f" of {depth.work_ops:,}"
    constant = "" if grows or depth.law is None else " at any T"
    return f"{law}{depth.depth_ops:,}{of} operations on the longest chain{constant} (derived)"


def _with_interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"{q.NOTHING} ({estimate.reason})"
    if estimate.low is None:
        return f"{q.time(estimate)} (too few steps for an interval)"
    return f"{q.time(estimate)} (95%: {q.time_interval(estimate)})"


# Phases ---------------------------------------------------------------------------------------


def _phases(summary: Summary, console: Console) -> None:
    heading(console, "Phases")
    if not summary.phases:
        paragraph(console, f"{q.NOTHING} {summary.step.reason}")
        return
    idle = {entry.phase: entry for entry in summary.idle}
    columns = ["phase", "time", "95% interval", "share", "busy", "idle", "memory", "ops"]
    rows = [_phase_row(phase, idle[phase.phase]) for phase in summary.phases]
    whole = idle["step"]
    rows.append(
        [
            "step",
            q.time(summary.step),
            q.time_interval(summary.step),
            "",
            q.percent(_busy(whole)),
            q.time(whole.idle_time),
            "",
            "",
        ]
    )
    table(console, columns, rows)
    _notes(console, _phase_notes(summary))


def _phase_row(phase: PhaseSummary, idle: PhaseIdle) -> list[str]:
    return [
        phase.phase,
        q.time(phase.time),
        q.time_interval(phase.time),
        q.percent(phase.share),
        q.percent(_busy(idle)),
        q.time(idle.idle_time),
        q.size(phase.peak_memory),
        q.count(phase.operations),
    ]


def _busy(idle: PhaseIdle) -> Estimate:
    if idle.idle_source == "nvml_utilization":
        return idle.nvml_utilization
    return idle.core_busy_fraction


def _phase_notes(summary: Summary) -> list[str]:
    device = summary.header.environment.device.is_accelerator
    clock = "the device's clock (events on its stream)" if device else "the host's clock"
    memory = {
        "allocator": "peak of torch's allocator",
        "resident_set": "peak resident memory of the whole process",
    }
    methods = {p.peak_memory.method for p in summary.phases if p.peak_memory.value is not None}
    kinds = " and ".join(memory.get(method, method) for method in sorted(methods))
    return [
        f"time: median of bare steps on {clock}"
        + (f"; memory: {kinds}" if kinds else "")
        + "; ops: tensor operations launched, views excluded; busy: "
        + ("NVML utilization" if device else "of the processor's cores")
        + ", see below",
        *q.reasons(
            [("memory", p.peak_memory) for p in summary.phases]
            + [("ops", p.operations) for p in summary.phases]
        ),
    ]


def _notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        paragraph(console, note, style="dim")


# Timesteps ------------------------------------------------------------------------------------


def _timesteps(summary: Summary, console: Console) -> None:
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
    _notes(console, [_perturbation(summary), _definition(summary)])


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
    _notes(console, q.reasons(absent))


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


# Marginal cost --------------------------------------------------------------------------------


def _marginal(summary: Summary, console: Console) -> None:
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
    _notes(
        console,
        [
            f"derived: Theil-Sen slope of time over T, {points} bare steps on prefixes of the "
            "sequences; fixed: what is left at T = 0"
        ],
    )


# Idle -----------------------------------------------------------------------------------------

_IDLE_COLUMNS: tuple[tuple[str, Callable[[PhaseIdle], Estimate]], ...] = (
    ("NVML\nutil.", lambda idle: idle.nvml_utilization),
    ("kernel\nbusy", lambda idle: idle.busy_fraction),
    ("SM\nactive", lambda idle: idle.sm_active),
    ("model\nFLOPs", lambda idle: idle.model_flops_utilization),
    ("cores\nbusy", lambda idle: idle.core_busy_fraction),
)
#: The field, and where it comes from.
_SOURCES = {
    "NVML\nutil.": "nvml_utilization: share of the driver's windows with any kernel running, while "
    "the phase alone was repeated (dwell)",
    "kernel\nbusy": "busy_fraction: exact, from the kernel timeline of profiled steps, see below",
    "SM\nactive": "sm_active: share of SMs with a warp resident, NVML GPM during the dwell",
    "model\nFLOPs": "model_flops_utilization: analytic FLOP/s over the datasheet's dense peak",
    "cores\nbusy": "core_busy_fraction: process CPU time / (wall time × threads)",
}


def _idle(summary: Summary, console: Console) -> None:
    device = summary.header.environment.device.is_accelerator
    title = "Idle accelerator time" if device else "Idle processor time"
    heading(console, title + ("" if device else " (no accelerator: the processor stands in)"))
    if not summary.phases:
        paragraph(console, f"{q.NOTHING} {summary.step.reason}")
        return
    shown = [c for c in _IDLE_COLUMNS if any(c[1](i).value is not None for i in summary.idle)]
    hosts = (
        {str(phase.phase): q.time(phase.host_time) for phase in summary.phases} if device else {}
    )
    rows = [
        [
            idle.phase,
            q.time(idle.time),
            *([hosts.get(idle.phase, "")] if device else []),
            *(q.percent(read(idle)) for _, read in shown),
            q.time(idle.idle_time),
        ]
        for idle in summary.idle
    ]
    columns = ["phase", "time", *(["host"] if device else []), *(name for name, _ in shown), "idle"]
    table(console, columns, rows)
    _notes(console, _idle_notes(summary, [name for name, _ in shown], device))


def _idle_notes(summary: Summary, shown: list[str], device: bool) -> list[str]:
    notes = [f"{name.replace(chr(10), ' ')}: {_SOURCES[name]}" for name in shown]
    source = "NVML util." if device else "cores busy"
    notes.append(f"idle: time × (1 − {source})")
    if not device:
        notes.append(
            "a core that spins while it waits counts as busy; above 100%: threads besides torch's"
        )
    estimates = [
        (name.replace("\n", " "), read(idle))
        for name, read in _IDLE_COLUMNS
        for idle in summary.idle
        if name not in shown or idle.phase in ("forward", "backward", "step")
    ]
    if shown and device:
        estimates = [
            (name if _is_whole(name, shown) else f"{name} of a phase", value)
            for name, value in estimates
        ]
    return notes + q.reasons(estimates)


def _is_whole(name: str, shown: list[str]) -> bool:
    """Whether the whole column is missing, rather than the value of some phases."""
    return name not in [column.replace("\n", " ") for column in shown]


def _dwells(summary: Summary, console: Console) -> None:
    if not summary.dwells:
        return
    heading(console, "Each phase repeated alone (dwell)")
    rows = [
        [
            dwell.phase,
            f"{dwell.repeats:,}",
            q.seconds(dwell.per_repeat_s),
            str(dwell.nvml_utilization.n),
            q.percent(dwell.sm_occupancy),
            q.watts(dwell.power),
            q.joules(dwell.energy),
        ]
        for dwell in summary.dwells
    ]
    columns = [
        "phase",
        "repeats",
        "each",
        "NVML\nsamples",
        "SM\noccupancy",
        "power",
        "energy\neach",
    ]
    table(console, columns, rows)
    cut = [f"{dwell.phase}: {dwell.reason}" for dwell in summary.dwells if dwell.reason]
    absent = [("SM occupancy", d.sm_occupancy) for d in summary.dwells]
    absent += [("power", d.power) for d in summary.dwells]
    absent += [("energy", d.energy) for d in summary.dwells]
    _notes(console, [*cut, *q.reasons(absent)])


# What to make of it ---------------------------------------------------------------------------


def _caveats(summary: Summary, console: Console) -> None:
    if not summary.caveats:
        return
    heading(console, "Caveats")
    for caveat in summary.caveats:
        console.print(
            Text.assemble(
                (f"{caveat.severity}: ", _SEVERITY_STYLES[caveat.severity]),
                caveat.text,
                overflow="fold",
            )
        )
        paragraph(console, caveat.evidence, indent=2, style="dim")
        paragraph(console, f"→ {caveat.remedy}", indent=2)


def _verdict(summary: Summary, console: Console) -> None:
    heading(console, "What limits this run")
    for sentence in summary.verdict.sentences:
        paragraph(console, sentence)
    heading(console, f"Next: {summary.verdict.because}")
    # Not wrapped: it is there to be copied.
    console.print(Text(f"  {summary.verdict.next_command}"), soft_wrap=True)
