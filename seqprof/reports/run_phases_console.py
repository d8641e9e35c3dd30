"""The tables of a run's phases: time, memory, operations, and how idle each was."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from seqprof.analysis.idle import PhaseIdle
from seqprof.analysis.phases import PhaseSummary
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import Summary
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, notes, paragraph, table


def render_phases(summary: Summary, console: Console) -> None:
    """Print time, share, busy, memory and operations of each phase."""
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
    notes(console, _phase_notes(summary))


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


def render_idle(summary: Summary, console: Console) -> None:
    """Print every measure of busy and idle of each phase, with its source."""
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
    notes(console, _idle_notes(summary, [name for name, _ in shown], device))


def _idle_notes(summary: Summary, shown: list[str], device: bool) -> list[str]:
    told = [f"{name.replace(chr(10), ' ')}: {_SOURCES[name]}" for name in shown]
    source = "NVML util." if device else "cores busy"
    told.append(f"idle: time × (1 − {source})")
    if not device:
        told.append(
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
    return told + q.reasons(estimates)


def _is_whole(name: str, shown: list[str]) -> bool:
    """Whether the whole column is missing, rather than the value of some phases."""
    return name not in [column.replace("\n", " ") for column in shown]


def render_dwells(summary: Summary, console: Console) -> None:
    """Print what NVML said while each phase alone was repeated."""
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
    notes(console, [*cut, *q.reasons(absent)])
