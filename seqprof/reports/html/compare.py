"""The page of `seqprof compare`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary, noisy
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import digits_of
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
    Part,
    Prose,
    Section,
    Table,
    none,
    word,
)
from seqprof.reports.html.forest import TONES, forest, plain_ratio
from seqprof.reports.html.header import caveats, place, when

_KERNELS = {
    "fused": "fused primitive",
    "unrolled": "unrolled loop",
    "whole_sequence": "whole sequence",
}


def article(result: Result) -> Article:
    """Return the page of one comparison."""
    summary: ComparedSummary = result.summary
    names = dict.fromkeys(c.label for length in summary.lengths for c in length.candidates)
    sections = [
        caveats(summary.caveats),
        Section(title="In short", blocks=[Prose(lines=summary.sentences)]),
        *(_length(length, summary.baseline) for length in summary.lengths),
        _about(summary),
    ]
    return Article(
        title=f"Comparison of {', '.join(names)}",
        subtitle=f"{result.name} · {summary.environment.device.name} · {when(summary.created)}",
        sections=sections,
    )


def _length(length: LengthSummary, baseline: str) -> Section:
    title = f"T = {length.timesteps:,}, batch {length.batch_size:,}"
    failed = [f"{c.label}: {c.failed}." for c in length.candidates if c.failed]
    blocks: list[Block] = []
    drawn = forest(length, baseline)
    blocks += [drawn] if drawn is not None else []
    blocks += [Prose(lines=failed, tone="warning")] if failed else []
    bars = [bar for bar in map(_bar, length.candidates) if bar is not None]
    if bars:
        caption = "Median step of each: forward, backward, and what is left of the step (derived)."
        blocks.append(Bars(caption=caption, bars=bars))
    blocks.append(_table(length, baseline))
    return Section(title=title, blocks=blocks)


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


# The table ------------------------------------------------------------------------------------


def _table(length: LengthSummary, baseline: str) -> Table:
    """One column a candidate, as on the console."""
    everyone = length.candidates
    names = [
        "step", "95 % interval", f"step / {baseline}", "95 % interval of the ratio", "verdict",
        "forward", "backward", "timesteps/s", "one more timestep, forward (derived)",
        "one more timestep, backward (derived)", "peak memory", _busy_name(everyone), "FLOP/s",
        "model FLOP/s of peak", "parameters", "kernels",
    ]  # fmt: skip
    columns = [_column(c, everyone) for c in everyone]
    rows = [[word(name), *cells] for name, *cells in zip(names, *columns, strict=True)]
    remarks = [
        "Derived: marginal cost from a sweep of prefix lengths, not timed one by one.",
        "~ noisy: half of the interval is 5 % of the value or more.",
        "Bold: the best of the row; italic: the worst.",
    ]
    return Table(
        caption="All candidates",
        columns=["quantity", *(c.label for c in everyone)],
        rows=rows,
        remarks=remarks,
        by_row=True,
    )


def _busy_name(everyone: Sequence[CandidateSummary]) -> str:
    first = everyone[0].busy_source
    return "NVML utilization" if first == "nvml_utilization" else "cores busy"


def _column(c: CandidateSummary, everyone: Sequence[CandidateSummary]) -> list[Cell]:
    return [
        _ranked(c, everyone, lambda o: o.step),
        cells.interval(c.step),
        *_against(c),
        _ranked(c, everyone, lambda o: o.forward),
        _ranked(c, everyone, lambda o: o.backward),
        cells.number(c.tokens_per_s, q.rate),
        cells.time(c.marginal_forward),
        cells.time(c.marginal_backward),
        cells.size(c.peak_memory),
        cells.percent(c.busy),
        cells.number(c.flops_per_s, lambda e: q.prefixed(e.value, digits_of(e))),
        cells.percent(c.model_flops_utilization),
        word(f"{c.workload.parameters:,}"),
        word(_KERNELS[c.kernels]) if c.kernels in _KERNELS else none("not counted"),
    ]


def _ranked(
    c: CandidateSummary,
    everyone: Sequence[CandidateSummary],
    read: Callable[[CandidateSummary], Estimate],
) -> Cell:
    known = [v for v in (read(o).value for o in everyone) if v is not None]
    estimate = read(c)
    tone = ""
    if estimate.value is not None and min(known) < max(known):
        tone = {min(known): "best", max(known): "worst"}.get(estimate.value, "")
    return cells.number(estimate, lambda e: ("~" if noisy(e) else "") + q.time(e), tone)


def _against(c: CandidateSummary) -> list[Cell]:
    found = c.against_baseline
    if found is None:
        reason = c.failed or c.standing
        return [none(reason), none(reason), word(c.standing)]
    ratio = found.ratio
    return [
        cells.number(ratio, plain_ratio),
        cells.interval(ratio, q.ratio_interval),
        word(found.verdict, TONES.get(found.verdict, "")),
    ]


# What it was ----------------------------------------------------------------------------------


def _about(summary: ComparedSummary) -> Section:
    matched = {None: "nothing was adjusted", "width": "hidden size", "params": "parameters"}
    rounds = [
        c.against_baseline.rounds
        for length in summary.lengths
        for c in length.candidates
        if c.against_baseline
    ]
    facts = [
        ("command", summary.command),
        ("measured at", summary.created),
        ("baseline", summary.baseline),
        ("matched", matched.get(summary.matched, "FLOPs per step")),
        ("held equal", " · ".join(summary.held_equal) or "nothing"),
        ("rounds", f"{max(rounds, default=0)}, interleaved, a process for each candidate"),
        ("seed", str(summary.seed)),
        *place(summary.environment),
    ]
    return Section(title="What was measured, and where", blocks=[Facts(pairs=facts)])
