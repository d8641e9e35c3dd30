"""The page of `seqprof run`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seqprof.analysis.idle import PhaseIdle
from seqprof.analysis.phases import PhaseSummary
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.summary import Summary
from seqprof.recording import DepthLaw, Recording
from seqprof.reports import quantities as q
from seqprof.reports.formats import Result
from seqprof.reports.html import cells
from seqprof.reports.html.blocks import (
    Article,
    Bar,
    Bars,
    Block,
    Cell,
    Facts,
    Folded,
    Headline,
    Part,
    Prose,
    Section,
    Table,
    Verbatim,
    none,
    word,
)
from seqprof.reports.html.header import caveats, place, training, when
from seqprof.reports.html.latency_map import map_sections
from seqprof.reports.html.profiled import profile_sections
from seqprof.reports.html.samples import sample_section
from seqprof.reports.html.steps import step_section
from seqprof.reports.html.timesteps import timestep_section
from seqprof.reports.run_words import model_in_words


def article(result: Result) -> Article:
    """Return the page of one run."""
    summary: Summary = result.summary
    recording = result.recording
    assert recording is not None
    trial, device = recording.trials[0], recording.environment.device
    workload = summary.header.workload
    sections = [
        caveats(summary.caveats),
        _outcome(summary),
        _phases(summary),
        timestep_section(summary, trial),
        *map_sections(summary, trial),
        *_marginal(summary),
        _idle(summary),
        *profile_sections(summary.profile),
        sample_section(recording, trial),
        step_section(trial),
        *_dwells(summary),
        _about(summary, recording),
    ]
    return Article(
        title=f"{model_in_words(summary.header)}: T = {workload.timesteps:,}, "
        f"batch {workload.batch_size:,}",
        subtitle=f"{result.name} · {device.name} · {when(summary.header.created)}",
        sections=sections,
    )


def _outcome(summary: Summary) -> Section:
    verdict = summary.verdict
    shares = [
        (f"{phase.phase} of the step", cells.percent(phase.share))
        for phase in summary.phases
        if phase.phase in ("forward", "backward")
    ]
    idle = next((entry for entry in summary.idle if entry.phase == "step"), None)
    figures = [("step", cells.time(summary.step)), ("timesteps per second", _rate(summary))]
    figures += shares
    if idle is not None:
        who = "device" if idle.idle_source == "nvml_utilization" else "cores"
        figures.append((f"{who} idle in a step", cells.time(idle.idle_time)))
    return Section(
        title="What limits this run",
        blocks=[
            Headline(figures=figures),
            Prose(
                lines=[*verdict.sentences, f"Next, {verdict.because}:"],
                command=verdict.next_command,
            ),
        ],
    )


def _rate(summary: Summary) -> Cell:
    return cells.number(summary.throughput, q.rate)


# Phases ---------------------------------------------------------------------------------------


def _phases(summary: Summary) -> Section:
    if not summary.phases:
        return Section(title="Phases of a step", blocks=[_nothing(summary)])
    device = summary.header.environment.device.is_accelerator
    bars = [_phase_bar("device" if device else "host", summary, lambda phase: phase.time)]
    if device:
        bars.append(_phase_bar("host", summary, lambda phase: phase.host_time))
    clock = "each clock" if device else "the host's clock"
    return Section(
        title="Phases of a step",
        blocks=[
            Bars(
                caption=f"Median time of each phase on {clock}. Medians of parts need not add up "
                "to the median of the whole.",
                bars=bars,
            ),
            _phase_table(summary, device),
        ],
    )


def _nothing(summary: Summary) -> Prose:
    return Prose(lines=[f"Not measured: {summary.step.reason}."], tone="quiet")


def _phase_bar(name: str, summary: Summary, read: Callable[[PhaseSummary], Estimate]) -> Bar:
    known = [(phase.phase, read(phase)) for phase in summary.phases]
    parts = [
        Part(name=phase, value=time.value, text=q.time(time), colour=phase)
        for phase, time in known
        if time.value is not None
    ]
    whole = sum(part.value for part in parts)
    return Bar(name=name, text=f"{q.seconds(whole)} together", parts=parts)


def _phase_table(summary: Summary, device: bool) -> Table:
    idle = {entry.phase: entry for entry in summary.idle}
    busy = "NVML utilization" if device else "cores busy"
    rows = [
        [
            word(phase.phase),
            cells.time(phase.time),
            cells.interval(phase.time),
            cells.percent(phase.share),
            *([cells.time(phase.host_time)] if device else []),
            cells.percent(_busy(idle[phase.phase])),
            cells.time(idle[phase.phase].idle_time),
            cells.size(phase.peak_memory),
            cells.count(phase.operations),
        ]
        for phase in summary.phases
    ]
    whole = idle["step"]
    rows.append(
        [
            word("step"),
            cells.time(summary.step),
            cells.interval(summary.step),
            word(""),
            *([word("")] if device else []),
            cells.percent(_busy(whole)),
            cells.time(whole.idle_time),
            word(""),
            word(""),
        ]
    )
    columns = ["phase", "time", "95 % interval", "share of step", *(["host"] if device else [])]
    return Table(
        caption="Phases",
        columns=[*columns, busy, "idle", "peak memory", "operations"],
        rows=rows,
        remarks=[f"idle: time × (1 − {busy})"],
    )


def _busy(idle: PhaseIdle) -> Estimate:
    if idle.idle_source == "nvml_utilization":
        return idle.nvml_utilization
    return idle.core_busy_fraction


# The price of a timestep, where none was timed ------------------------------------------------


def _marginal(summary: Summary) -> list[Section]:
    if not summary.marginal:
        return []
    rows = [
        [
            word(cost.phase),
            cells.time(cost.marginal),
            cells.interval(cost.marginal),
            cells.time(cost.fixed),
            none(cost.marginal.reason or "not measured")
            if cost.shortest is None
            else word(f"{cost.shortest}–{cost.longest}"),
            none(cost.marginal.reason or "not measured")
            if cost.misfit is None
            else Cell(text=f"{cost.misfit:.0%}", method="largest |median − line| / median"),
        ]
        for cost in summary.marginal
    ]
    columns = ["phase", "per timestep", "95 % interval", "fixed", "T", "misfit"]
    table = Table(
        caption="Marginal cost of a timestep",
        columns=columns,
        rows=rows,
        remarks=[
            "Derived from a sweep of prefix lengths, not timed one by one: it is the price of one "
            "more timestep, and no timestep's own latency."
        ],
    )
    return [Section(title="Cost of one more timestep (derived)", blocks=[table])]


# Idle -----------------------------------------------------------------------------------------


def _idle(summary: Summary) -> Section:
    device = summary.header.environment.device.is_accelerator
    title = "Idle accelerator" if device else "Idle processor (there is no accelerator)"
    if not summary.phases:
        return Section(title=title, blocks=[_nothing(summary)])
    columns = ["phase", "time", "idle"]
    sources: list[tuple[str, Callable[[PhaseIdle], Estimate]]] = [
        ("NVML utilization", lambda idle: idle.nvml_utilization),
        ("kernel timeline busy", lambda idle: idle.busy_fraction),
        ("SM active", lambda idle: idle.sm_active),
        ("model FLOP/s of peak", lambda idle: idle.model_flops_utilization),
        ("cores busy", lambda idle: idle.core_busy_fraction),
    ]
    shown = sources if device else sources[-1:]
    rows = [
        [
            word(idle.phase),
            cells.time(idle.time),
            cells.time(idle.idle_time),
            *(cells.percent(read(idle)) for _, read in shown),
        ]
        for idle in summary.idle
    ]
    used = "NVML utilization" if device else "cores busy"
    remarks = [f"idle: time × (1 − {used})"]
    if device:
        remarks.append("These are different quantities, each with its own method; none fills in.")
    else:
        remarks.append("The processor stands in: none of this is an accelerator's idle time.")
    table = Table(
        caption="Busy, by each source that there is",
        columns=[*columns, *(name for name, _ in shown)],
        rows=rows,
        remarks=remarks,
    )
    return Section(title=title, blocks=[table])


def _dwells(summary: Summary) -> list[Section]:
    if not summary.dwells:
        return []
    rows = [
        [
            word(dwell.phase),
            word(f"{dwell.repeats:,}"),
            cells.seconds(dwell.per_repeat_s, "dwell / repetitions", dwell.reason or "no repeat"),
            cells.percent(dwell.nvml_utilization),
            word(dwell.nvml_utilization.n),
            cells.percent(dwell.sm_active),
            cells.percent(dwell.sm_occupancy),
            cells.number(dwell.power, q.watts),
            cells.number(dwell.energy, q.joules),
        ]
        for dwell in summary.dwells
    ]
    columns = [
        "phase", "repetitions", "each", "NVML utilization", "samples", "SM active", "SM occupancy",
        "power", "energy each",
    ]  # fmt: skip
    cut = [f"{dwell.phase}: {dwell.reason}" for dwell in summary.dwells if dwell.reason]
    table = Table(caption="Dwells", columns=columns, rows=rows, remarks=cut)
    return [Section(title="Each phase repeated alone (dwell)", blocks=[table])]


# What it was ----------------------------------------------------------------------------------


def _about(summary: Summary, recording: Recording) -> Section:
    header = summary.header
    workload = header.workload
    padding = f" · {q.percent(summary.padding)} padding" if summary.padding.value else ""
    facts = [
        ("command", header.command),
        ("measured at", header.created),
        (
            "steps",
            f"{header.bare_steps} bare and {header.probed_steps} probed, after "
            f"{header.warmup_steps} for warm-up" + (" (interrupted)" if header.interrupted else ""),
        ),
        ("model", f"{model_in_words(header)} · {workload.parameters:,} parameters"),
        ("data", workload.data),
        ("batch", f"{workload.batch_size} sequences × {workload.timesteps} timesteps{padding}"),
        ("training", training(header)),
        *([("sequential depth", _depth(summary.depth))] if summary.depth is not None else []),
        *place(recording.environment),
    ]
    spec = msgspec.json.format(msgspec.json.encode(recording.spec), indent=2).decode()
    blocks: list[Block] = [
        Facts(pairs=facts),
        Folded(summary="The whole spec", blocks=[Verbatim(text=spec)]),
    ]
    return Section(title="What was measured, and where", blocks=blocks)


def _depth(depth: DepthLaw) -> str:
    if depth.depth_ops is None:
        return f"{depth.law or q.NOTHING} ({depth.reason or 'the law does not hold at this T'})"
    grows = depth.law is not None and any(term != "1" for term in depth.coefficients)
    law = f"{depth.law} = " if grows else ""
    of = "" if depth.work_ops is None else f" of {depth.work_ops:,}"
    return f"{law}{depth.depth_ops:,}{of} operations on the longest chain (derived from shapes)"
