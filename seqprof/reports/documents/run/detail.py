"""What of a run only some readers want: maps, samples, every step, dwells, what it was."""

from __future__ import annotations

import msgspec

from seqprof.analysis.depth.graph import STEP_PHASES
from seqprof.analysis.run.findings import Header
from seqprof.analysis.run.summary import Summary
from seqprof.analysis.wording import parameters_in_words, sizes_in_words
from seqprof.recording import DepthLaw, Recording
from seqprof.reports import quantities as q
from seqprof.reports.document import DETAIL, Facts, Folded, Only, Section, Verbatim
from seqprof.reports.documents.place import place, training
from seqprof.reports.documents.run.map import map_sections
from seqprof.reports.documents.run.phases import dwell_sections
from seqprof.reports.documents.run.quantities import quantity_section
from seqprof.reports.documents.run.samples import sample_section
from seqprof.reports.documents.run.steps import step_section
from seqprof.reports.documents.run.words import (
    model_in_words,
    steps_in_words,
    timesteps_in_words,
    with_interval,
)


def detail_sections(name: str, summary: Summary, recording: Recording) -> list[Section]:
    """Return the sections that stand below the answer."""
    trial = recording.trials[0]
    return [
        *map_sections(summary, trial),
        sample_section(recording, trial),
        step_section(trial, summary.step_costs),
        *dwell_sections(summary),
        quantity_section(summary, trial),
        _about(name, summary, recording),
    ]


def _about(name: str, summary: Summary, recording: Recording) -> Section:
    header = summary.header
    facts = [
        ("file", name),
        ("command", header.command),
        ("measured at", header.created),
        ("steps", f"{steps_in_words(header)}, after {header.warmup_steps} for warm-up"),
        ("step", f"{with_interval(summary.step)} · {_throughput(summary)}{_in_a_row(summary)}"),
        ("model", f"{model_in_words(header)} · {parameters_in_words(header.workload)}"),
        ("data", header.workload.data),
        ("batch", _batch(summary)),
        *_how(header),
        ("training", training(header)),
        *([("sequential depth", _depth(summary, summary.depth))] if summary.depth else []),
        *place(recording.environment),
    ]
    spec = msgspec.json.format(msgspec.json.encode(recording.spec), indent=2).decode()
    whole = Folded(summary="The whole spec", blocks=[Verbatim(text=spec)])
    return Section(
        title="What was measured, and where",
        blocks=[Facts(pairs=facts), Only(where="page", blocks=[whole])],
        rank=DETAIL,
    )


def _how(header: Header) -> list[tuple[str, str]]:
    """How a user's batches and model are read; nothing for built-in ones."""
    workload = header.workload
    readings = (("time", workload.time_axis), ("called as", workload.call), ("loss", workload.loss))
    return [(name, words) for name, words in readings if words is not None]


def _batch(summary: Summary) -> str:
    workload = summary.header.workload
    padding = f" · {q.percent(summary.padding)} padding" if summary.padding.value else ""
    if workload.batch_size is None or workload.timesteps is None:
        return f"{sizes_in_words(workload.timesteps, workload.batch_size)}{padding}"
    lengths = summary.header.lengths
    if lengths is None or lengths.shortest == lengths.longest:
        timesteps = f"× {workload.timesteps} timesteps"
    else:
        timesteps = f"of {timesteps_in_words(summary.header)}"
    return f"{workload.batch_size} sequences {timesteps}{padding}"


def _throughput(summary: Summary) -> str:
    if summary.throughput.value is None:
        return f"throughput: {summary.throughput.reason}"
    unknown = "" if summary.padding.value is not None else ", padding included if there is any"
    return f"{q.rate(summary.throughput)} timesteps/s{unknown}"


def _in_a_row(summary: Summary) -> str:
    """What a step takes where the next does not wait for it, as in training on an accelerator."""
    own = (dwell.per_repeat_s for dwell in summary.dwells if dwell.phase == "step")
    each = next((seconds for seconds in own if seconds is not None), None)
    if each is None or not summary.header.environment.device.is_accelerator:
        return ""
    rate = summary.throughput_in_a_row
    timesteps = f", {q.rate(rate)} timesteps/s" if rate.value is not None else ""
    return (
        f" · one after the other, without waiting in between: {q.seconds(each)}{timesteps} (dwell)"
    )


def _depth(summary: Summary, depth: DepthLaw) -> str:
    """How many operations wait for each other, as in 15·T + 8 = 968 of 2,316."""
    if depth.depth_ops is None:
        return f"{depth.law or q.NOTHING} ({depth.reason or 'the law does not hold at this T'})"
    grows = depth.law is not None and any(term != "1" for term in depth.coefficients)
    law = f"{depth.law} = " if grows else ""
    of = "" if depth.work_ops is None else f" of {depth.work_ops:,}"
    constant = "" if grows or depth.law is None else " at any T"
    chain = f"{law}{depth.depth_ops:,}{of} operations on the longest chain{constant}"
    if depth.source == "step":
        return f"{chain} ({depth.method})"
    return f"{chain} (derived from shapes{_launched(summary)})"


def _launched(summary: Summary) -> str:
    """How many an accelerator was given in place of these: it merges what a cell is made of."""
    counted = [
        phase.operations.value
        for phase in summary.phases
        if phase.phase in STEP_PHASES and phase.operations.value is not None
    ]
    if not counted or not summary.header.environment.device.is_accelerator:
        return ""
    return f", operations one by one; this device was given {sum(counted):,.0f} in all"
