"""The console report of `seqprof compare`: one column for each candidate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqprof.analysis.caveats import Caveat
from seqprof.analysis.compared import CandidateSummary, ComparedSummary, LengthSummary, noisy
from seqprof.analysis.statistics import Estimate
from seqprof.analysis.wording import PLAIN_DIGITS, decimals, digits_of, rounded
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, pairs, paragraph, print_to

_BEST, _WORST = "green", "red"
_VERDICTS = {"faster": "green", "slower": "red"}
_SEVERITIES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_KERNELS = {
    "fused": "fused primitive",
    "unrolled": "unrolled loop",
    "whole_sequence": "whole sequence",
    "unknown": q.NOTHING,
}


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
    if not quiet:
        _header(summary, console)
        for length in summary.lengths:
            _length(length, summary, console)
        paragraph(
            console,
            "* derived: marginal cost from a sweep of prefix lengths, not timed one by one. "
            "~ noisy: half of the interval is 5 % of the value or more. "
            "Depth: operations on the longest chain in which each awaits the one before; derived, "
            "from shapes alone.",
            style="dim",
        )
        print_caveats(summary.caveats, console)
        heading(console, "In short")
    for sentence in summary.sentences:
        paragraph(console, sentence)
    if quiet:
        for caveat in summary.caveats:
            if caveat.severity != "note":
                paragraph(console, f"{caveat.severity}: {caveat.text} ({caveat.evidence})")


def _header(summary: ComparedSummary, console: Console) -> None:
    environment = summary.environment
    console.print(Text(f"seqprof {environment.seqprof} compare", style="bold"))
    rounds = {
        c.against_baseline.rounds
        for length in summary.lengths
        for c in length.candidates
        if c.against_baseline
    }
    matched = {None: "nothing was adjusted", "width": "hidden size", "params": "parameters"}
    equal = matched.get(summary.matched, "FLOPs per step")
    pairs(
        console,
        [
            ("baseline", summary.baseline),
            ("matched", equal if summary.matched else f"{equal} (--match)"),
            ("held equal", " · ".join(summary.held_equal) or "nothing"),
            ("device", environment.device.name),
            ("threads", f"{environment.threads} on {environment.cores} cores"),
            ("software", f"torch {environment.torch} · Python {environment.python}"),
            ("rounds", f"{max(rounds, default=0)}, interleaved, a process for each candidate"),
        ],
    )


def _length(length: LengthSummary, summary: ComparedSummary, console: Console) -> None:
    heading(console, f"T = {length.timesteps}, batch {length.batch_size}")
    rows = _rows(length, summary.baseline)
    names = max(len(row.name) for row in rows) + 2
    chunk: list[CandidateSummary] = []
    for candidate in length.candidates:
        if chunk and names + _width(rows, [*chunk, candidate]) > console.width:
            console.print(_table(rows, chunk, length.candidates))
            chunk = []
        chunk.append(candidate)
    console.print(_table(rows, chunk, length.candidates))
    failed = [c for c in length.candidates if c.failed]
    for candidate in failed:
        paragraph(console, f"{candidate.label}: {candidate.failed}", style="yellow")
    reasons = q.reasons(
        [
            (name, estimate)
            for c in length.candidates
            if not c.failed
            for name, estimate in (
                ("busy", c.busy),
                ("FLOP/s", c.flops_per_s),
                ("MFU", c.model_flops_utilization),
                ("marginal", c.marginal_forward),
                ("memory", c.peak_memory),
            )
        ]
    )
    depths = [(c.label, c.depth.reason) for c in length.candidates if c.depth and not c.failed]
    reasons += [f"depth of {label}: {reason}" for label, reason in depths if reason]
    for reason in reasons:
        paragraph(console, f"{q.NOTHING} {reason}", style="dim")


def _width(rows: Sequence[_Row], candidates: Sequence[CandidateSummary]) -> int:
    return sum(max(len(c.label), *(len(row.show(c)) for row in rows)) + 2 for c in candidates)


def _rows(length: LengthSummary, baseline: str) -> list[_Row]:
    first = length.candidates[0]
    idle = "busy (NVML)" if first.busy_source == "nvml_utilization" else "cores busy"
    memory = first.peak_memory.method
    return [
        _Row("kernels", lambda c: _KERNELS[c.kernels]),
        _Row("parameters", lambda c: f"{c.workload.parameters:,}"),
        _Row("FLOPs per step", lambda c: _scaled(c.workload.flops_per_step, PLAIN_DIGITS)),
        _Row("step, ms", lambda c: milliseconds(c.step), lambda c: c.step),
        _Row("forward, ms", lambda c: milliseconds(c.forward), lambda c: c.forward),
        _Row("backward, ms", lambda c: milliseconds(c.backward), lambda c: c.backward),
        _Row("tokens/s", lambda c: q.rate(c.tokens_per_s), lambda c: c.tokens_per_s, low=False),
        _Row("µs per timestep, forward*", lambda c: microseconds(c.marginal_forward)),
        _Row("µs per timestep, backward*", lambda c: microseconds(c.marginal_backward)),
        _Row(
            f"peak memory ({memory})" if memory == "allocator" else "peak memory (process)",
            lambda c: q.size(c.peak_memory),
            lambda c: c.peak_memory,
        ),
        _Row(idle, lambda c: q.percent(c.busy)),
        _Row(idle.replace("busy", "idle"), lambda c: q.percent(_idle(c.busy))),
        _Row("FLOP/s", lambda c: _scaled(c.flops_per_s.value, digits_of(c.flops_per_s))),
        _Row("MFU", lambda c: q.percent(c.model_flops_utilization)),
        _Row("depth, operations", _depth),
        _Row("depth over T", _law),
        _Row(f"step / {baseline}", _ratio),
        _Row("95 % interval", _interval),
        _Row("verdict", lambda c: c.against_baseline.verdict if c.against_baseline else "baseline"),
    ]


def _depth(candidate: CandidateSummary) -> str:
    found = candidate.depth
    return q.NOTHING if found is None or found.depth_ops is None else f"{found.depth_ops:,}"


def _law(candidate: CandidateSummary) -> str:
    found = candidate.depth
    if found is None or not found.lengths:
        return q.NOTHING
    return q.law(found.law, found.coefficients)


def _idle(busy: Estimate) -> Estimate:
    if busy.value is None:
        return busy
    return Estimate(value=1.0 - busy.value, unit="1", method=busy.method, n=busy.n)


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


def _scaled(value: float | None, digits: int) -> str:
    if value is None:
        return q.NOTHING
    scale, prefix = next(((s, p) for s, p in _PREFIXES if value >= s), _PREFIXES[-1])
    return f"{rounded(value / scale, digits)} {prefix}".rstrip()


def _ratio(candidate: CandidateSummary) -> str:
    found = candidate.against_baseline
    if found is None or found.ratio.value is None:
        return q.NOTHING if candidate.failed else "1"
    return rounded(found.ratio.value, digits_of(found.ratio))


def _interval(candidate: CandidateSummary) -> str:
    found = candidate.against_baseline
    if found is None or found.ratio.low is None or found.ratio.high is None:
        return q.NOTHING
    places = max(2, decimals(found.ratio.value or 1.0, digits_of(found.ratio)))
    return f"{found.ratio.low:.{places}f}–{found.ratio.high:.{places}f}"


def _table(
    rows: Sequence[_Row],
    candidates: Sequence[CandidateSummary],
    everyone: Sequence[CandidateSummary],
) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("", no_wrap=True)
    for candidate in candidates:
        grid.add_column(Text(candidate.label), justify="right", no_wrap=True)
    for row in rows:
        grid.add_row(row.name, *(_cell(row, c, everyone) for c in candidates))
    return grid


def _cell(row: _Row, candidate: CandidateSummary, everyone: Sequence[CandidateSummary]) -> Text:
    text = Text(row.show(candidate))
    if row.name == "verdict":
        text.stylize(_VERDICTS.get(text.plain, ""))
    if row.value is None:
        return text
    value = row.value(candidate).value
    known = [v for v in (row.value(c).value for c in everyone) if v is not None]
    if value is None or min(known) == max(known):
        return text
    best, worst = (min(known), max(known)) if row.low else (max(known), min(known))
    text.stylize(_BEST if value == best else _WORST if value == worst else "")
    return text


def print_caveats(caveats: Sequence[Caveat], console: Console) -> None:
    """Print every caveat with its evidence and its remedy; nothing where there is none."""
    if not caveats:
        return
    heading(console, "Beware")
    for caveat in caveats:
        paragraph(console, f"{caveat.severity}: {caveat.text}", style=_SEVERITIES[caveat.severity])
        paragraph(console, caveat.evidence, indent=2)
        paragraph(console, f"→ {caveat.remedy}", indent=2)
