"""Sequential depth as tables on the console."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from seqprof.analysis.depth import Cost
from seqprof.analysis.laws import Law
from seqprof.analysis.model_depth import Assumptions, Derived, ModelDepth, as_sentence
from seqprof.reports import quantities as q
from seqprof.reports.depth_words import facts, peak
from seqprof.reports.layout import fits, heading, pairs, paragraph, print_to, table

if TYPE_CHECKING:
    from rich.console import Console

_DEFINITION = (
    "work: tensor operations of forward, loss and backward, without views and allocations; depth: "
    "those on the longest chain in which each consumes the previous one's output"
)
_ONE_OPERATION = (
    "An operation is one of torch's. A device that runs several in one kernel (fused cells, cuDNN, "
    "torch.compile) can go below the floor; the number of timesteps that wait for each other stays."
)
_ARITHMETIC = "arithm.\nfrom B"


def print_depth(
    depths: Sequence[ModelDepth],
    assumptions: Assumptions,
    *,
    path: bool = False,
    file: TextIO | None = None,
) -> None:
    """Print the table of all models, then the details of each; with ``path`` the longest chain."""
    print_to(file or sys.stdout, lambda console: _render(console, depths, assumptions, path))


def _render(
    console: Console, depths: Sequence[ModelDepth], assumptions: Assumptions, path: bool
) -> None:
    lengths = {depth.at.timesteps for depth in depths}
    at = f" at T = {lengths.pop():,}" if len(lengths) == 1 else ""
    heading(console, f"Sequential depth of one training step{at} (from shapes alone)")
    _overview(console, depths, with_lengths=not at)
    for note in (
        _DEFINITION,
        "within t: work / depth of one timestep alone; across t: timesteps under way at once",
        f"floor (derived): depth × {assumptions.kernel_latency_s * 1e6:g} µs from one operation to "
        f"the next that awaits it ({assumptions.latency_source})",
        "arithm. from B (derived): batch at which all FLOPs at peak take as long as the floor; "
        f"peak: {peak(assumptions)}",
        _ONE_OPERATION,
    ):
        paragraph(console, note, style="dim")
    for depth in depths:
        _details(console, depth)
        if path:
            _path(console, depth)


def _overview(console: Console, depths: Sequence[ModelDepth], *, with_lengths: bool) -> None:
    """Print one line a model; what makes it too wide and says least gives way first."""
    columns = ["model", "T", "work", "depth", "law", "within\nt", "across\nt", "floor", _ARITHMETIC]
    rows = [_row(depth) for depth in depths]
    if not with_lengths:
        columns, rows = _without(columns, rows, "T")
    if not fits(console, columns, rows) and all(row[-1] == q.NOTHING for row in rows):
        columns, rows = _without(columns, rows, _ARITHMETIC)  # the note below says why
    if not fits(console, columns, rows):
        broken = [[row[0].replace("@", "\n@").replace(":", ":\n"), *row[1:]] for row in rows]
        rows = broken if fits(console, columns, broken) else rows
    table(console, columns, rows)


def _without(
    columns: Sequence[str], rows: Sequence[Sequence[str]], name: str
) -> tuple[list[str], list[list[str]]]:
    at = columns.index(name)
    return [*columns[:at], *columns[at + 1 :]], [[*row[:at], *row[at + 1 :]] for row in rows]


def _row(depth: ModelDepth) -> list[str]:
    batch = depth.arithmetic_batch.value
    return [
        depth.recorded.model,
        f"{depth.at.timesteps:,}",
        f"{depth.at.step.work_ops:,}",
        f"{depth.at.step.depth_ops:,}",
        _law(depth.depth_law),
        _ratio(depth.within_timestep),
        _ratio(depth.across_timesteps),
        q.seconds(depth.latency_floor_s.value, 2),
        q.NOTHING if batch is None else f"{batch:,.0f}",
    ]


def _law(law: Law) -> str:
    return q.law(law.text, law.coefficients)


def _ratio(derived: Derived) -> str:
    return q.NOTHING if derived.value is None else f"{derived.value:.1f}"


def _details(console: Console, depth: ModelDepth) -> None:
    recorded = depth.recorded
    heading(console, f"{recorded.model}: {recorded.form}, batch {recorded.batch_size}")
    rows = [
        _phase("forward", depth.at.forward, depth.forward_depth_law),
        _phase("backward", depth.at.backward, depth.backward_depth_law),
        _phase("step", depth.at.step, depth.depth_law),
    ]
    if recorded.single is not None:
        rows.append(_phase("T = 1", recorded.single.step, None))
    if recorded.optimizer is not None:
        rows.append(_phase("optimizer", recorded.optimizer, None))
    columns = [
        "phase",
        "work",
        "depth",
        "law of depth",
        "work /\ndepth",
        "GFLOP",
        "span\nGFLOP",
        "MB",
    ]
    table(console, columns, rows)
    if len(recorded.asked) > 1:
        _lengths(console, depth)
    pairs(console, list(facts(depth)))


def _lengths(console: Console, depth: ModelDepth) -> None:
    """Print the costs at each T that was asked for."""
    columns = ["T"]
    for phase in ("step", "forward", "backward"):
        columns += [f"{phase}\nwork", "\ndepth", "work /\ndepth"]
    rows = [
        [f"{point.timesteps:,}"]
        + [cell for phase in (point.step, point.forward, point.backward) for cell in _costs(phase)]
        for point in depth.recorded.points
        if point.timesteps in depth.recorded.asked
    ]
    console.print()
    table(console, columns, rows)


def _costs(cost: Cost) -> list[str]:
    return [f"{cost.work_ops:,}", f"{cost.depth_ops:,}", _parallelism(cost)]


def _parallelism(cost: Cost) -> str:
    return q.NOTHING if cost.parallelism is None else f"{cost.parallelism:.1f}"


def _phase(name: str, cost: Cost, law: Law | None) -> list[str]:
    return [
        name,
        f"{cost.work_ops:,}",
        f"{cost.depth_ops:,}",
        _law(law) if law else "",
        _parallelism(cost),
        _short(cost.work_flops / 1e9),
        _short(cost.span_flops / 1e9),
        _short(cost.work_bytes / 1e6),
    ]


def _short(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.0g}"


def _path(console: Console, depth: ModelDepth) -> None:
    console.print()
    paragraph(console, f"Longest chain at T = {depth.at.timesteps:,}", style="italic")
    for run in depth.recorded.path:
        paragraph(console, as_sentence(run), indent=2)
