"""The document of `seqprof compare`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seqprof.analysis.compare.compared import (
    CandidateSummary,
    ComparedSummary,
    LengthSummary,
    noisy,
)
from seqprof.analysis.run.trust import doubts
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import count_in_words, digits_of
from seqprof.reports import cells
from seqprof.reports import quantities as q
from seqprof.reports.document import (
    DETAIL,
    ESSENTIAL,
    USEFUL,
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Document,
    Facts,
    Forest,
    Only,
    Part,
    Prose,
    Section,
    Span,
    Table,
    View,
    none,
    word,
)
from seqprof.reports.documents.findings import counted, findings
from seqprof.reports.documents.place import place, place_in_short, when
from seqprof.reports.formats import Result

_KERNELS = {
    "fused": "fused primitive",
    "unrolled": "unrolled loop",
    "whole_sequence": "whole sequence",
    "compiled": "compiled",
}
_MATCHED = {"width": "hidden size", "params": "parameters", "flops": "FLOPs per step"}
_TONES = {"faster": "good", "slower": "bad"}
#: A longer label is broken in the head of its column.
_LONG_LABEL = 14


def document(result: Result, view: View) -> Document:
    """Return the document of one comparison."""
    summary: ComparedSummary = result.summary
    names = dict.fromkeys(c.label for length in summary.lengths for c in length.candidates)
    subtitle = [place_in_short(summary.environment), f"{_rounds(summary)} rounds"]
    return Document(
        title=f"Comparison of {', '.join(names)}",
        subtitle=" · ".join([*subtitle, when(summary.created)]),
        line=" ".join(summary.sentences) + counted(summary.caveats),
        sections=[
            _answer(summary),
            *(_length(one, summary.baseline, len(summary.lengths) > 1) for one in summary.lengths),
            *findings(summary.caveats),
            _next(summary),
            _about(summary),
        ],
    )


def _rounds(summary: ComparedSummary) -> int:
    everyone = [c for length in summary.lengths for c in length.candidates]
    return max((c.against_baseline.rounds for c in everyone if c.against_baseline), default=0)


def _answer(summary: ComparedSummary) -> Section:
    steps = [c.step for length in summary.lengths for c in length.candidates]
    unsure = doubts(steps, summary.caveats)
    blocks: list[Block] = [Prose(lines=[unsure], tone="doubt")] if unsure else []
    blocks.append(Prose(lines=summary.sentences, tone="answer"))
    return Section(title="", name="The answer", blocks=blocks)


def _length(length: LengthSummary, baseline: str, several: bool) -> Section:
    """Return one length; of several a first screen has the ratios, and everything the tables."""
    blocks: list[Block] = []
    drawn = _forest(length, baseline)
    blocks += [drawn] if drawn is not None else []
    failed = [f"{c.label}: {c.failed}." for c in length.candidates if c.failed]
    blocks += [Prose(lines=failed, tone="warning")] if failed else []
    bars = [bar for bar in map(_bar, length.candidates) if bar is not None]
    if bars:
        caption = "Median step of each: forward, backward, and what is left of the step (derived)."
        drawings: list[Block] = [Bars(caption=caption, bars=bars), *_depth_bars(length)]
        blocks.append(Only(where="page", blocks=drawings))
    table = _table(length, baseline)
    blocks.append(Only(where="detail", blocks=[table]) if several else table)
    return Section(title=f"T = {length.timesteps:,}, batch {length.batch_size:,}", blocks=blocks)


def _forest(length: LengthSummary, baseline: str) -> Forest | None:
    """Draw the ratios to the baseline; None where there is none."""
    spans = [
        Span(
            name=c.label,
            text=f"{q.ratio_with_interval(against.ratio)} {against.verdict}",
            value=against.ratio.value,
            low=against.ratio.low,
            high=against.ratio.high,
            tone=_TONES.get(against.verdict, ""),
        )
        for c in length.candidates
        if (against := c.against_baseline) is not None and against.ratio.value is not None
    ]
    if not spans:
        return None
    listed = ", ".join(f"{span.name} {span.text}" for span in spans)
    return Forest(
        caption=f"Step time / {baseline}: medians, 95 % interval; left of 1 is faster.",
        label=f"Step time against {baseline}: {listed}",
        spans=spans,
    )


def _bar(c: CandidateSummary) -> Bar | None:
    """Return a candidate's step in parts; None where it was not measured."""
    step, known = c.step.value, [("forward", c.forward), ("backward", c.backward)]
    if step is None:
        return None
    parts = [
        Part(name=phase, value=time.value, text=q.time(time), colour=phase)
        for phase, time in known
        if time.value is not None
    ]
    left = step - sum(part.value for part in parts)
    if left > 0.0:
        parts.append(Part(name="the rest", value=left, text=q.seconds(left, 2), colour="step"))
    return Bar(name=c.label, text=q.time(c.step), parts=parts)


def _depth_bars(length: LengthSummary) -> list[Block]:
    """Draw the chains beside the times; nothing where none is known."""
    bars = [
        Bar(
            name=c.label,
            text=f"{c.depth.depth_ops:,}",
            parts=[
                Part(
                    name="dependent operations",
                    value=c.depth.depth_ops,
                    text=f"{c.depth.depth_ops:,}",
                    colour="depth",
                )
            ],
        )
        for c in length.candidates
        if c.depth is not None and c.depth.depth_ops is not None
    ]
    laws = [c.depth for c in length.candidates if c.depth is not None]
    real = any(law.source == "step" for law in laws)
    how = "derived from shapes" + (", or counted in real steps" if real else "")
    caption = f"Operations on the longest chain of dependent ones ({how})."
    return [Bars(caption=caption, bars=bars)] if bars else []


# The table ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One quantity. ``ranked`` tells best from worst; a smaller value is better if ``low``."""

    name: str
    rank: int
    cell: Callable[[CandidateSummary], Cell]
    ranked: Callable[[CandidateSummary], Estimate] | None = None
    low: bool = True


def _time_row(name: str, rank: int, read: Callable[[CandidateSummary], Estimate]) -> _Row:
    return _Row(name, rank, lambda c: cells.number(read(c), _marked), read)


def _marked(estimate: Estimate) -> str:
    shown = q.slope(estimate)
    return shown if shown.startswith("<") or not noisy(estimate) else f"~{shown}"


def _rows(length: LengthSummary, baseline: str) -> list[_Row]:
    source = length.candidates[0].busy_source
    busy = {"nvml_utilization": "NVML utilization", "busy_fraction": "device busy"}.get(
        source, "cores busy"
    )
    return [
        *_sizes(length),
        _time_row("step", ESSENTIAL, lambda c: c.step),
        _Row("95 % interval", ESSENTIAL, lambda c: cells.interval(c.step)),
        _Row(f"step / {baseline}", DETAIL, _ratio),
        _Row("95 % interval of the ratio", DETAIL, _ratio_interval),
        _Row("verdict", DETAIL, _verdict),
        _time_row("forward", USEFUL, lambda c: c.forward),
        _time_row("backward", USEFUL, lambda c: c.backward),
        _Row(
            "tokens/s",
            DETAIL,
            lambda c: cells.number(c.tokens_per_s, q.rate),
            lambda c: c.tokens_per_s,
            low=False,
        ),
        _time_row("timestep, forward (derived)", USEFUL, lambda c: c.marginal_forward),
        _time_row("timestep, backward (derived)", USEFUL, lambda c: c.marginal_backward),
        _Row("peak memory", USEFUL, lambda c: cells.size(c.peak_memory), lambda c: c.peak_memory),
        _Row(busy, USEFUL, lambda c: cells.number(c.busy, q.busy)),
        _Row("idle share", DETAIL, lambda c: cells.percent(q.complement(c.busy))),
        _Row("depth, operations", USEFUL, _depth),
        _Row("depth over T", DETAIL, _law),
        _Row("FLOPs per step", DETAIL, _flops),
        _Row("FLOP/s", DETAIL, lambda c: cells.number(c.flops_per_s, _prefixed)),
        _Row("model FLOP/s of peak", DETAIL, lambda c: cells.percent(c.model_flops_utilization)),
        _Row("parameters", DETAIL, lambda c: word(count_in_words(c.workload.parameters))),
        _Row("kernels", USEFUL, _kernels),
    ]


def _sizes(length: LengthSummary) -> list[_Row]:
    """Return rows of T and batch where the candidates differ in them."""
    workloads = [c.workload for c in length.candidates]
    rows = []
    if len({w.timesteps for w in workloads}) > 1:
        rows.append(_Row("T", ESSENTIAL, lambda c: word(f"{c.workload.timesteps:,}")))
    if len({w.batch_size for w in workloads}) > 1:
        rows.append(_Row("batch", ESSENTIAL, lambda c: word(f"{c.workload.batch_size:,}")))
    return rows


def _table(length: LengthSummary, baseline: str) -> Table:
    """One column a candidate; the best and the worst of a row are told where they differ."""
    everyone, rows = length.candidates, _rows(length, baseline)
    return Table(
        caption="All candidates",
        columns=[
            Column(name="quantity"),
            *(Column(name=c.label, short=_broken(c.label)) for c in everyone),
        ],
        rows=[[word(row.name), *(_toned(row, c, everyone) for c in everyone)] for row in rows],
        ranks=[row.rank for row in rows],
        remarks=[
            "Derived: marginal cost of one more timestep, from a sweep of prefix lengths, not "
            "timed one by one.",
            "Depth: operations on the longest chain of dependent ones.",
            "~ noisy: half of the interval is 5 % of the value or more.",
            "The best and the worst of a row are marked where their intervals lie apart.",
        ],
        by_row=True,
    )


def _broken(label: str) -> str:
    """Break a long label behind its folder and before its form."""
    return label if len(label) <= _LONG_LABEL else re.sub(r"(?<=[/:])(?=[^/]*$)|(?=@)", "\n", label)


def _toned(row: _Row, c: CandidateSummary, everyone: Sequence[CandidateSummary]) -> Cell:
    cell = row.cell(c)
    if row.ranked is None or cell.reason:
        return cell
    estimates = [row.ranked(other) for other in everyone]
    tone = tone_of(row.ranked(c), estimates, low=row.low)
    return Cell(text=cell.text, method=cell.method, tone=tone)


def tone_of(estimate: Estimate, everyone: Sequence[Estimate], *, low: bool) -> str:
    """Tell the best and the worst, where their intervals lie apart.

    Args:
        low: the smallest is the best.
    """
    known = sorted((e for e in everyone if e.value is not None), key=lambda e: e.value or 0.0)
    if estimate.value is None or len(known) < 2:
        return ""
    least, most = known[0], known[-1]
    if (least.high or least.value or 0.0) >= (most.low or most.value or 0.0):
        return ""
    tones = {least.value: "best" if low else "worst", most.value: "worst" if low else "best"}
    return tones.get(estimate.value, "")


def _ratio(c: CandidateSummary) -> Cell:
    if c.against_baseline is None:
        return word("1") if c.is_baseline and not c.failed else none(c.failed or c.standing)
    return cells.number(c.against_baseline.ratio, q.ratio)


def _ratio_interval(c: CandidateSummary) -> Cell:
    if c.against_baseline is None:
        return word("") if c.is_baseline and not c.failed else none(c.failed or c.standing)
    return cells.interval(c.against_baseline.ratio, q.ratio_interval)


def _verdict(c: CandidateSummary) -> Cell:
    return word(c.standing, _TONES.get(c.standing, ""))


def _depth(c: CandidateSummary) -> Cell:
    if c.depth is None or c.depth.depth_ops is None:
        return none((c.depth and c.depth.reason) or "not in this recording")
    return Cell(text=f"{c.depth.depth_ops:,}", method=c.depth.method)


def _law(c: CandidateSummary) -> Cell:
    if c.depth is None or not c.depth.lengths:
        return none((c.depth and c.depth.reason) or "not in this recording")
    return word(q.law(c.depth.law, c.depth.coefficients))


def _flops(c: CandidateSummary) -> Cell:
    if c.workload.flops_per_step is None:
        return none(c.workload.flops_reason or "not counted")
    return Cell(text=q.prefixed(c.workload.flops_per_step), method="analytic, matrix products")


def _prefixed(estimate: Estimate) -> str:
    return q.prefixed(estimate.value, digits_of(estimate))


def _kernels(c: CandidateSummary) -> Cell:
    return word(_KERNELS[c.kernels]) if c.kernels in _KERNELS else none("not counted")


# What follows, and what it was ------------------------------------------------------------------


def _next(summary: ComparedSummary) -> Section:
    names = dict.fromkeys(c.label for length in summary.lengths for c in length.candidates)
    steps = [c.step for length in summary.lengths for c in length.candidates]
    if doubts(steps, summary.caveats):
        return Section(
            title="Next: see what disturbs measurements on this machine",
            blocks=[Prose(lines=[], command="seqprof doctor")],
        )
    if len(summary.lengths) > 1:
        command = f"seqprof scale {' '.join(names)}"
        return Section(
            title="Next: see how each grows with T, and where they cross",
            blocks=[Prose(lines=[], command=command)],
        )
    length = summary.lengths[0].timesteps
    command = f"seqprof compare {' '.join(names)} --seq-len {length},{4 * length}"
    return Section(
        title="Next: see whether the verdict holds at a longer T",
        blocks=[Prose(lines=[], command=command)],
    )


def matched_in_words(summary: ComparedSummary) -> str:
    """Say what `--match` made equal, and how nearly."""
    if summary.matched is None:
        return "nothing was adjusted (--match)"
    name = _MATCHED[summary.matched]
    if summary.matched_within is None:
        return name
    return f"{name}, within {math.ceil(1000 * summary.matched_within) / 10:.1f} %"


def _about(summary: ComparedSummary) -> Section:
    everyone = [c for length in summary.lengths for c in length.candidates]
    first = everyone[0]
    busy = {
        "busy_fraction": "kernels' seconds in profiled steps / time in unprofiled steps",
        "nvml_utilization": "NVML's utilization while the whole step was repeated",
        "core_busy_fraction": "process CPU time / (wall time × threads); no GPU found",
    }
    memory = {
        "allocator": "the allocator's peak",
        "resident_set": "peak of the whole process, Python and torch included",
    }
    peak = memory.get(first.peak_memory.method)
    facts = [
        ("command", summary.command),
        ("measured at", summary.created),
        ("baseline", summary.baseline),
        ("matched", matched_in_words(summary)),
        ("held equal", " · ".join(summary.held_equal) or "nothing"),
        ("rounds", f"{_rounds(summary)}, interleaved, a process for each candidate"),
        ("busy", busy[first.busy_source]),
        *([("peak memory", peak)] if peak else []),
        ("seed", str(summary.seed)),
        *place(summary.environment),
    ]
    title = "What was measured, and where"
    return Section(title=title, blocks=[Facts(pairs=facts)], rank=DETAIL)
