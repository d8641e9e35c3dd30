"""The console report of `seqprof compare`: one column for each candidate."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary, noisy
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import digits_of, rounded
from seqprof.reports import quantities as q
from seqprof.reports.caveats_console import print_caveats, print_essentials
from seqprof.reports.escaping import printable
from seqprof.reports.layout import heading, pairs, paragraph, print_to

_BEST, _WORST = "green", "red"
_VERDICTS = {"faster": "green", "slower": "red", "failed": "yellow"}
_KERNELS = {
    "fused": "fused\nprimitive",
    "unrolled": "unrolled\nloop",
    "whole_sequence": "whole\nsequence",
    "compiled": "compiled",
    "unknown": q.NOTHING,
}
_MATCHED = {"width": "hidden size", "params": "parameters", "flops": "FLOPs per step"}
#: A longer label is broken in the head of its column.
_LONG_LABEL = 14
#: Spaces between two columns.
_GAP = 2


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table. ``value`` ranks the candidates; a smaller one is better if ``low``."""

    name: str
    show: Callable[[CandidateSummary], str]
    value: Callable[[CandidateSummary], Estimate] | None = None
    low: bool = True


def print_comparison(
    summary: ComparedSummary, file: TextIO | None = None, *, quiet: bool = False
) -> None:
    """Print the report to ``file`` (default: stdout), in the width and colours that it takes."""
    print_to(file or sys.stdout, lambda console: render(summary, console, quiet=quiet))


def render(summary: ComparedSummary, console: Console, *, quiet: bool = False) -> None:
    """Print the report, or with ``quiet`` only what it comes to."""
    if quiet:
        print_essentials(summary.sentences, summary.caveats, console)
        return
    _header(summary, console)
    for length in summary.lengths:
        _length(length, console)
    for remark in _remarks(summary):
        paragraph(console, remark, style="dim")
    print_caveats(summary.caveats, console)
    heading(console, "In short")
    for sentence in summary.sentences:
        paragraph(console, sentence)


def _header(summary: ComparedSummary, console: Console) -> None:
    environment = summary.environment
    everyone = [candidate for length in summary.lengths for candidate in length.candidates]
    rounds = [c.against_baseline.rounds for c in everyone if c.against_baseline]
    threads = sorted({c.threads for c in everyone if c.threads} or {environment.threads})
    console.print(Text(f"seqprof {environment.seqprof} compare", style="bold"))
    pairs(
        console,
        [
            ("baseline", summary.baseline),
            ("matched", matched_in_words(summary)),
            ("held equal", " · ".join(summary.held_equal) or "nothing"),
            ("device", environment.device.name),
            ("threads", f"{' or '.join(map(str, threads))} on {environment.cores} cores"),
            ("software", f"torch {environment.torch} · Python {environment.python}"),
            ("rounds", f"{max(rounds, default=0)}, interleaved, a process for each candidate"),
        ],
    )


def matched_in_words(summary: ComparedSummary) -> str:
    """Say what `--match` made equal, and how nearly."""
    if summary.matched is None:
        return "nothing was adjusted (--match)"
    name = _MATCHED[summary.matched]
    if summary.matched_within is None:
        return name
    return f"{name}, within {math.ceil(1000 * summary.matched_within) / 10:.1f} %"


def _remarks(summary: ComparedSummary) -> list[str]:
    first = summary.lengths[0].candidates[0]
    busy = {
        "nvml_utilization": "Busy: NVML's utilization while the whole step was repeated.",
        "core_busy_fraction": "Cores busy: process CPU time / (wall time × threads); without an "
        "accelerator the processor stands in for it.",
    }
    memory = {
        "allocator": "Peak memory: the allocator's.",
        "resident_set": "Peak memory: of the whole process, Python and torch included.",
    }
    return [
        "* derived: marginal cost from a sweep of prefix lengths, not timed one by one. "
        "~ noisy: half of the interval is 5 % of the value or more. "
        f"{busy[first.busy_source]} {memory.get(first.peak_memory.method, '')} "
        "Depth: operations on the longest chain in which each awaits the one before; derived, "
        "from shapes alone."
    ]


def _length(length: LengthSummary, console: Console) -> None:
    heading(console, f"T = {length.timesteps:,}, batch {length.batch_size:,}")
    rows = _rows(length)
    for chunk in _chunks(rows, length.candidates, console.width):
        console.print(_table(rows, chunk, length.candidates))
    for candidate in length.candidates:
        if candidate.failed:
            paragraph(console, f"{candidate.label}: {candidate.failed}", style="yellow")
    for reason in _reasons([c for c in length.candidates if not c.failed]):
        paragraph(console, f"{q.NOTHING} {reason}", style="dim")


def _reasons(measured: Sequence[CandidateSummary]) -> list[str]:
    """Say why cells are empty."""
    told = q.reasons(
        [
            (name, estimate)
            for c in measured
            for name, estimate in (
                ("busy", c.busy),
                ("FLOP/s", c.flops_per_s),
                ("MFU", c.model_flops_utilization),
                ("marginal", c.marginal_forward),
                ("memory", c.peak_memory),
            )
        ]
    )
    depths: dict[str, list[str]] = {}
    for c in measured:
        if c.depth and c.depth.reason:
            depths.setdefault(c.depth.reason, []).append(c.label)
    return told + [f"depth of {', '.join(who)}: {reason}" for reason, who in depths.items()]


def _chunks(
    rows: Sequence[_Row], candidates: Sequence[CandidateSummary], width: int
) -> list[Sequence[CandidateSummary]]:
    """Return the candidates in as few tables as fit, of about equally many columns each."""
    for tables in range(1, len(candidates) + 1):
        size = math.ceil(len(candidates) / tables)
        chunks = [candidates[start : start + size] for start in range(0, len(candidates), size)]
        if all(_width(rows, chunk) <= width for chunk in chunks):
            return chunks
    return [[candidate] for candidate in candidates]


def _width(rows: Sequence[_Row], candidates: Sequence[CandidateSummary]) -> int:
    names = max(cell_len(row.name) for row in rows)
    columns = (max(map(_widest, (head(c.label), *(r.show(c) for r in rows)))) for c in candidates)
    return names + sum(column + _GAP for column in columns)


def _widest(cell: str) -> int:
    return max(cell_len(line) for line in cell.split("\n"))


def head(label: str) -> str:
    """Break a long label behind its folder and before its form, as a column's head."""
    label = printable(label)
    return label if len(label) <= _LONG_LABEL else re.sub(r"(?<=[/:])(?=[^/]*$)|(?=@)", "\n", label)


def _rows(length: LengthSummary) -> list[_Row]:
    first = length.candidates[0]
    idle = "busy" if first.busy_source == "nvml_utilization" else "cores busy"
    return [
        *_sizes(length),
        _Row("kernels", lambda c: _KERNELS[c.kernels]),
        _Row("parameters", lambda c: f"{c.workload.parameters:,}"),
        _Row("FLOPs per step", lambda c: q.prefixed(c.workload.flops_per_step)),
        _Row("step, ms", lambda c: milliseconds(c.step), lambda c: c.step),
        _Row("forward, ms", lambda c: milliseconds(c.forward), lambda c: c.forward),
        _Row("backward, ms", lambda c: milliseconds(c.backward), lambda c: c.backward),
        _Row("tokens/s", lambda c: q.rate(c.tokens_per_s), lambda c: c.tokens_per_s, low=False),
        _Row(
            "µs/timestep forward*",
            lambda c: microseconds(c.marginal_forward),
            lambda c: c.marginal_forward,
        ),
        _Row(
            "µs/timestep backward*",
            lambda c: microseconds(c.marginal_backward),
            lambda c: c.marginal_backward,
        ),
        _Row("peak memory", lambda c: q.size(c.peak_memory), lambda c: c.peak_memory),
        _Row(idle, lambda c: q.percent(c.busy)),
        _Row(idle.replace("busy", "idle"), lambda c: q.percent(q.complement(c.busy))),
        _Row("FLOP/s", lambda c: q.prefixed(c.flops_per_s.value, digits_of(c.flops_per_s))),
        _Row("MFU", lambda c: q.percent(c.model_flops_utilization)),
        _Row("depth, operations", _depth),
        _Row("depth over T", _law),
        _Row("step / baseline", _ratio),
        _Row("95 % interval", _interval),
        _Row("verdict", lambda c: c.standing),
    ]


def _sizes(length: LengthSummary) -> list[_Row]:
    """Return rows of T and batch where the candidates differ in them."""
    workloads = [c.workload for c in length.candidates]
    rows = []
    if len({w.timesteps for w in workloads}) > 1:
        rows.append(_Row("T", lambda c: f"{c.workload.timesteps:,}"))
    if len({w.batch_size for w in workloads}) > 1:
        rows.append(_Row("batch", lambda c: f"{c.workload.batch_size:,}"))
    return rows


def _depth(candidate: CandidateSummary) -> str:
    found = candidate.depth
    return q.NOTHING if found is None or found.depth_ops is None else f"{found.depth_ops:,}"


def _law(candidate: CandidateSummary) -> str:
    found = candidate.depth
    if found is None or not found.lengths:
        return q.NOTHING
    return q.law(found.law, found.coefficients)


def milliseconds(estimate: Estimate) -> str:
    """Write a time in ms with the digits that its interval supports; ~ marks a noisy one."""
    return _in_unit(estimate, 1e-3)


def microseconds(estimate: Estimate) -> str:
    """Write a time in µs likewise."""
    return _in_unit(estimate, 1e-6)


def _in_unit(estimate: Estimate, unit: float) -> str:
    if estimate.value is None:
        return q.NOTHING
    return ("~" if noisy(estimate) else "") + rounded(estimate.value / unit, digits_of(estimate))


def _ratio(candidate: CandidateSummary) -> str:
    found = candidate.against_baseline
    if found is None or found.ratio.value is None:
        return "1" if candidate.standing == "baseline" else q.NOTHING
    return rounded(found.ratio.value, digits_of(found.ratio))


def _interval(candidate: CandidateSummary) -> str:
    found = candidate.against_baseline
    if found is None or found.ratio.low is None or found.ratio.high is None:
        return q.NOTHING
    return q.ratio_interval(found.ratio)


def _table(
    rows: Sequence[_Row],
    candidates: Sequence[CandidateSummary],
    everyone: Sequence[CandidateSummary],
) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("", no_wrap=True)
    for candidate in candidates:
        grid.add_column(Text(head(candidate.label)), justify="right", no_wrap=True)
    for row in rows:
        grid.add_row(row.name, *(_cell(row, c, everyone) for c in candidates))
    return grid


def _cell(row: _Row, candidate: CandidateSummary, everyone: Sequence[CandidateSummary]) -> Text:
    text = Text(row.show(candidate))
    if row.name == "verdict":
        text.stylize(_VERDICTS.get(text.plain, ""))
    if row.value is None:
        return text
    estimates = [row.value(c) for c in everyone]
    return Text(text.plain, style=_tone(row.value(candidate), estimates, row.low))


def _tone(estimate: Estimate, everyone: Sequence[Estimate], low: bool) -> str:
    """Colour the best and the worst, where the two can be told apart at all."""
    known = sorted(
        (e for e in everyone if e.value is not None),
        key=lambda e: e.value or 0.0,
        reverse=not low,
    )
    if estimate.value is None or len(known) < 2:
        return ""
    best, worst = known[0], known[-1]
    least, most = (best, worst) if low else (worst, best)
    ends = (least.high or least.value or 0.0), (most.low or most.value or 0.0)
    if ends[0] >= ends[1]:
        return ""
    return {best.value: _BEST, worst.value: _WORST}.get(estimate.value, "")
