"""The sections of a run's phases: time, memory, operations, and how idle each was."""

from __future__ import annotations

from collections.abc import Callable

from seqprof.analysis.run.idle import PhaseIdle
from seqprof.analysis.run.phases import PhaseSummary, headline_kind
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.statistics import Estimate
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    USEFUL,
    Bar,
    Bars,
    Block,
    Only,
    Part,
    Prose,
    Section,
    Table,
    heads,
    word,
)

_MEMORY = {
    "allocator": "peak of torch's allocator",
    "resident_set": "peak resident memory of the whole process",
    "allocator_after_operations": "most that torch's allocator held after any operation",
    "resident_set_after_operations": "most that the process held after any operation",
}


#: Sums of medians that are nearer to the median of the sums are not worth a word.
_ADDS_UP = 0.05


def phase_section(summary: Summary) -> Section:
    """Return time, share, busy, memory and operations of each phase."""
    title = "Phases of a step"
    if not summary.phases:
        return Section(title=title, blocks=[_nothing(summary)])
    device = summary.header.environment.device.is_accelerator
    bars = [_bar("device" if device else "host", summary, lambda phase: phase.time)]
    if device:
        bars.append(_bar("host", summary, lambda phase: phase.host_time))
    clock = "each clock" if device else "the host's clock"
    caption = (
        f"Median time of each phase on {clock}. Medians of parts need not add up to the median of "
        "the whole."
    )
    blocks: list[Block] = [
        Only(where="page", blocks=[Bars(caption=caption, bars=bars)]),
        _table(summary, device),
        *_not_adding_up(summary),
    ]
    return Section(title=title, blocks=blocks)


def _not_adding_up(summary: Summary) -> list[Block]:
    """Say why the parts are not the whole, where a reader would see it."""
    parts = [phase.time.value for phase in summary.phases]
    known = [value for value in parts if value is not None]
    step = summary.step.value
    if not step or len(known) < len(parts) or abs(sum(known) - step) <= _ADDS_UP * step:
        return []
    line = (
        f"The phases add up to {q.seconds(sum(known))}, the step is {q.time(summary.step)}: each "
        "is a median of its own, of steps of other kinds."
    )
    return [Prose(lines=[line], tone="quiet")]


def _nothing(summary: Summary) -> Prose:
    return Prose(lines=[f"Not measured: {summary.step.reason}."], tone="quiet")


def _bar(name: str, summary: Summary, read: Callable[[PhaseSummary], Estimate]) -> Bar:
    parts = [
        Part(name=phase.phase, value=value, text=q.seconds(value), colour=phase.phase)
        for phase in summary.phases
        if (value := read(phase).value) is not None
    ]
    whole = sum(part.value for part in parts)
    return Bar(name=name, text=f"{q.seconds(whole)} together", parts=parts)


def _table(summary: Summary, device: bool) -> Table:
    idle = {entry.phase: entry for entry in summary.idle}
    rows = [
        [
            word(phase.phase),
            cells.time(phase.time),
            cells.interval(phase.time),
            cells.percent(phase.share),
            *([cells.time(phase.host_time)] if device else []),
            cells.number(idle[phase.phase].busy, q.busy),
            cells.idle(idle[phase.phase].idle_time, idle[phase.phase].time),
            cells.size(phase.peak_memory),
            cells.count(phase.operations),
        ]
        for phase in summary.phases
    ]
    rows.append(
        [
            word("step"),
            cells.time(summary.step),
            cells.interval(summary.step),
            word(""),
            *([word("")] if device else []),
            cells.number(idle["step"].busy, q.busy),
            cells.idle(idle["step"].idle_time, idle["step"].time),
            word(""),
            word(""),
        ]
    )
    busy = _BUSY_HEADS[idle["step"].idle_source]
    return Table(
        caption="Phases of a step",
        columns=heads(
            "phase",
            "time",
            ("95 % interval", "95%"),
            ("share of step", "share"),
            *([("host", "host", DETAIL)] if device else []),
            (busy, "busy"),
            "idle",
            ("peak memory", "memory", USEFUL),
            ("operations", "ops", USEFUL),
        ),
        rows=rows,
        remarks=_remarks(summary, device),
    )


_BUSY_HEADS = {
    "busy_fraction": "device busy",
    "nvml_utilization": "NVML utilization",
    "core_busy_fraction": "cores busy",
}
_IDLE_METHODS = {
    "busy_fraction": "time − kernels' seconds in profiled steps",
    "nvml_utilization": "time − NVML utilization × time of one repetition in the dwell",
    "core_busy_fraction": "time × (1 − cores busy)",
}


def _idle_methods(summary: Summary) -> list[str]:
    """How idle was told, where it was: if phases have it from different sources, each of them."""
    by_method: dict[str, list[str]] = {}
    for entry in summary.idle:
        if entry.idle_time.value is not None:
            by_method.setdefault(_IDLE_METHODS[entry.idle_source], []).append(entry.phase)
    if len(by_method) == 1:
        return [f"idle: {method}" for method in by_method]
    return [f"idle of {', '.join(of)}: {method}" for method, of in by_method.items()]


def _remarks(summary: Summary, device: bool) -> list[str]:
    clock = "the device's clock (events on its stream)" if device else "the host's clock"
    methods = {p.peak_memory.method for p in summary.phases if p.peak_memory.value is not None}
    kinds = " and ".join(_MEMORY.get(method, method) for method in sorted(methods))
    parts = [
        f"time: median of {headline_kind(summary.step)} steps on {clock}",
        *([f"memory: {kinds}"] if kinds else []),
        "operations: tensor operations launched, views excluded",
        *_idle_methods(summary),
    ]
    return ["; ".join(parts)]


# Idle -----------------------------------------------------------------------------------------

#: Name, short head, how it is read, and the field with where it comes from.
_SOURCES: tuple[tuple[str, str, Callable[[PhaseIdle], Estimate], str], ...] = (
    (
        "NVML utilization",
        "NVML\nutil.",
        lambda idle: idle.nvml_utilization,
        "nvml_utilization: share of the driver's windows with any kernel running, while the phase "
        "alone was repeated (dwell)",
    ),
    (
        "kernel timeline busy",
        "kernel\nbusy",
        lambda idle: idle.busy_fraction,
        "busy_fraction: kernels' seconds in profiled steps / time in unprofiled steps",
    ),
    (
        "busy in profiled steps",
        "in the\nprofile",
        lambda idle: idle.profiled_busy_fraction,
        "profiled_busy_fraction: kernels' seconds / window of the profiled steps, slowed as they "
        "are",
    ),
    (
        "SM active",
        "SM\nactive",
        lambda idle: idle.sm_active,
        "sm_active: share of SMs with a warp resident, NVML GPM during the dwell",
    ),
    (
        "model FLOP/s of peak",
        "model\nFLOPs",
        lambda idle: idle.model_flops_utilization,
        "model_flops_utilization: analytic FLOP/s over the datasheet's dense peak",
    ),
    (
        "cores busy",
        "cores\nbusy",
        lambda idle: idle.core_busy_fraction,
        "core_busy_fraction: process CPU time / (wall time × threads)",
    ),
)


def idle_section(summary: Summary) -> Section:
    """Return every measure of busy and idle of each phase, with its source."""
    device = summary.header.environment.device.is_accelerator
    title = "Idle accelerator time" if device else "Idle processor time (no GPU found)"
    rank = DETAIL  # the table of phases has the busy and idle that a first screen needs
    if not summary.phases:
        return Section(title=title, blocks=[_nothing(summary)], rank=DETAIL)
    shown = _SOURCES if device else _SOURCES[-1:]
    rows = [
        [
            word(idle.phase),
            cells.time(idle.time),
            cells.idle(idle.idle_time, idle.time),
            *(cells.number(read(idle), q.busy) for _, _, read, _ in shown),
        ]
        for idle in summary.idle
    ]
    remarks = [f"{name}: {source}" for name, _, _, source in shown]
    remarks += _idle_methods(summary)
    if device:
        remarks.append("These are different quantities, each with its own method; none fills in.")
    else:
        remarks += [
            "No GPU found. Busy and idle are the CPU's: this is no accelerator's idle time.",
            "A core that spins while it waits counts as busy.",
        ]
    sources = [(name, short) for name, short, _, _ in shown]
    table = Table(
        caption="Busy, by each source that there is",
        columns=heads("phase", "time", "idle", *sources),
        rows=rows,
        remarks=remarks,
    )
    return Section(title=title, blocks=[table], rank=rank)


def dwell_sections(summary: Summary) -> list[Section]:
    """Return what NVML said while each phase alone was repeated; none where nothing was."""
    if not summary.dwells:
        return []
    rows = [
        [
            word(dwell.phase),
            word(f"{dwell.repeats:,}"),
            cells.seconds(dwell.per_repeat_s, "dwell / repetitions", dwell.reason or "no repeat"),
            cells.number(dwell.nvml_utilization, q.busy),
            word(dwell.nvml_utilization.n),
            cells.number(dwell.sm_active, q.busy),
            cells.number(dwell.sm_occupancy, q.busy),
            cells.number(dwell.power, q.watts),
            cells.number(dwell.energy, q.joules),
        ]
        for dwell in summary.dwells
    ]
    columns = heads(
        "phase",
        ("repetitions", "repeats"),
        "each",
        ("NVML utilization", "NVML\nutil."),
        ("NVML samples", "NVML\nsamples"),
        ("SM active", "SM\nactive"),
        ("SM occupancy", "SM\noccupancy"),
        "power",
        ("energy each", "energy\neach"),
    )
    cut = [f"{dwell.phase}: {dwell.reason}" for dwell in summary.dwells if dwell.reason]
    table = Table(caption="Dwells", columns=columns, rows=rows, remarks=cut)
    title = "Each phase repeated alone (dwell)"
    return [Section(title=title, blocks=[table], rank=DETAIL)]
