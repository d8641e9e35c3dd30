"""The page of `seqprof compare`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary, noisy
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import decimals, digits_of, rounded
from seqprof.reports import quantities as q
from seqprof.reports.formats import Result
from seqprof.reports.html import cells
from seqprof.reports.html.blocks import (
    Article,
    Block,
    Cell,
    Facts,
    Forest,
    Prose,
    Section,
    Span,
    Table,
    none,
    word,
)
from seqprof.reports.html.header import caveats, place

_KERNELS = {
    "fused": "fused primitive",
    "unrolled": "unrolled loop",
    "whole_sequence": "whole sequence",
}
_TONES = {"faster": "good", "slower": "bad"}
#: Ratios that may be ticks of the axis.
_TICKS = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    0.8,
    0.9,
    1.0,
    1.1,
    1.25,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
)
#: Nearer ticks than this, in per cent of the width, would run into each other.
_TICK_GAP = 11.0
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


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
        subtitle=f"{result.name} · {summary.environment.device.name} · {summary.created}",
        sections=sections,
    )


def _length(length: LengthSummary, baseline: str) -> Section:
    title = f"T = {length.timesteps:,}, batch {length.batch_size:,}"
    failed = [f"{c.label}: {c.failed}." for c in length.candidates if c.failed]
    blocks: list[Block] = []
    forest = _forest(length, baseline)
    blocks += [forest] if forest is not None else []
    blocks += [Prose(lines=failed, tone="warning")] if failed else []
    blocks.append(_table(length, baseline))
    return Section(title=title, blocks=blocks)


# Ratios ---------------------------------------------------------------------------------------


def _forest(length: LengthSummary, baseline: str) -> Forest | None:
    """Draw the ratios to the baseline; None where there is none."""
    found = [
        (c.label, c.against_baseline)
        for c in length.candidates
        if c.against_baseline is not None and c.against_baseline.ratio.value is not None
    ]
    if not found:
        return None
    ratios = [comparison.ratio for _, comparison in found]
    ends = [v for r in ratios for v in (r.value, r.low, r.high) if v is not None] + [1.0]
    reach = max(abs(math.log(end)) for end in ends) * 1.15 or 0.1
    low, high = (
        min(min(map(math.log, ends)) * 1.15, -0.1 * reach),
        max(max(map(math.log, ends)) * 1.15, 0.1 * reach),
    )

    def at(value: float) -> float:
        return 100.0 * (math.log(value) - low) / (high - low)

    spans = [_span(label, c.ratio, c.verdict, at) for label, c in found]
    told = ", ".join(f"{span.name} {span.text}" for span in spans)
    return Forest(
        caption=f"Step time against {baseline}: ratio of medians with its 95 % interval "
        "(logarithmic axis; left of 1 is faster).",
        label=f"Step time against {baseline}: {told}",
        spans=spans,
        ticks=_ticks(at),
        one=f"{at(1.0):.3f}%",
    )


def _span(label: str, ratio: Estimate, verdict: str, at: Callable[[float], float]) -> Span:
    value = ratio.value or 1.0
    low, high = ratio.low or value, ratio.high or value
    return Span(
        name=label,
        text=f"{_plain_ratio(ratio)}{_within(ratio)} {verdict}",
        at=f"{at(value):.3f}%",
        start=f"{at(low):.3f}%",
        width=f"{at(high) - at(low):.3f}%",
        tone=_TONES.get(verdict, ""),
    )


def _ticks(at: Callable[[float], float]) -> list[tuple[str, str]]:
    """Choose ticks that lie on the axis and apart; 1 comes first."""
    chosen: list[float] = []
    for tick in sorted(_TICKS, key=lambda ratio: abs(math.log(ratio))):
        if 3.0 <= at(tick) <= 97.0 and all(abs(at(tick) - at(o)) > _TICK_GAP for o in chosen):
            chosen.append(tick)
    return [(f"{tick:g}", f"{at(tick):.3f}%") for tick in sorted(chosen)]


def _plain_ratio(ratio: Estimate) -> str:
    return q.NOTHING if ratio.value is None else rounded(ratio.value, digits_of(ratio))


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
        "Green and red: the best and the worst of the row.",
    ]
    return Table(
        caption="All candidates",
        columns=["", *(c.label for c in everyone)],
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
        cells.number(c.flops_per_s, lambda e: _scaled(e.value or 0.0, digits_of(e))),
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
        reason = c.failed or "it is the baseline"
        return [none(reason), none(reason), word("failed" if c.failed else "baseline")]
    ratio = found.ratio
    return [
        cells.number(ratio, _plain_ratio),
        cells.interval(ratio, _ratio_interval),
        word(found.verdict, _TONES.get(found.verdict, "")),
    ]


def _within(ratio: Estimate) -> str:
    return "" if ratio.low is None or ratio.high is None else f" ({_ratio_interval(ratio)})"


def _ratio_interval(ratio: Estimate) -> str:
    places = max(2, decimals(ratio.value or 1.0, digits_of(ratio)))
    return f"{ratio.low:.{places}f}–{ratio.high:.{places}f}"


def _scaled(value: float, digits: int) -> str:
    scale, prefix = next(((s, p) for s, p in _PREFIXES if value >= s), _PREFIXES[-1])
    return f"{rounded(value / scale, digits)} {prefix}".rstrip()


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
