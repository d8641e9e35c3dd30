"""Sequential depth as tables on the console."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from seqprof.analysis.depth import Cost
from seqprof.analysis.laws import Law
from seqprof.analysis.model_depth import Assumptions, Derived, ModelDepth, as_sentence
from seqprof.reports import quantities as q
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table

if TYPE_CHECKING:
    from rich.console import Console

_DEFINITION = (
    "work: tensor operations of forward, loss and backward; depth: those on the longest chain in "
    "which each consumes the previous one's output; views and allocations count as none"
)
_ONE_OPERATION = (
    "An operation is one of torch's. A device that runs several in one kernel (fused cells, cuDNN, "
    "torch.compile) can go below the floor; the number of timesteps that wait for each other stays."
)


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
    heading(console, "Sequential depth of one training step (from shapes alone)")
    table(
        console,
        [
            "model",
            "T",
            "work",
            "depth",
            "law",
            "within\nt",
            "across\nt",
            "floor",
            "arithm.\nfrom B",
        ],
        [_row(depth) for depth in depths],
    )
    for note in (
        _DEFINITION,
        "within t: work / depth of one timestep alone; across t: timesteps under way at once",
        f"floor (derived): depth × {assumptions.kernel_latency_s * 1e6:g} µs from one operation to "
        f"the next that awaits it ({assumptions.latency_source})",
        "arithm. from B (derived): batch at which all FLOPs at peak take as long as the floor; "
        f"peak: {_peak(assumptions)}",
        _ONE_OPERATION,
    ):
        paragraph(console, note, style="dim")
    for depth in depths:
        _details(console, depth)
        if path:
            _path(console, depth)


def _peak(assumptions: Assumptions) -> str:
    if assumptions.peak_flops is None:
        return assumptions.peak_source
    return f"{assumptions.peak_flops / 1e12:g} TFLOP/s ({assumptions.peak_source})"


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
    pairs(console, _facts(depth))


def _phase(name: str, cost: Cost, law: Law | None) -> list[str]:
    return [
        name,
        f"{cost.work_ops:,}",
        f"{cost.depth_ops:,}",
        _law(law) if law else "",
        q.NOTHING if cost.parallelism is None else f"{cost.parallelism:.1f}",
        _short(cost.work_flops / 1e9),
        _short(cost.span_flops / 1e9),
        _short(cost.work_bytes / 1e6),
    ]


def _short(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.0g}"


def _facts(depth: ModelDepth) -> list[tuple[str, str]]:
    recorded = depth.recorded
    lengths = ", ".join(str(point.timesteps) for point in recorded.points)
    law = depth.depth_law
    holds = law.reason or f"exact from T = {law.holds_from}" + (
        " at powers of two" if law.powers_of_two_only else ""
    )
    lines = [("law", f"{holds}; recorded T = {lengths}"), ("law of work", _whole(depth.work_law))]
    if depth.one_more is not None:
        more = depth.one_more
        lines.append(
            (
                "one more t",
                f"{more.work_ops:+,} operations, {more.depth_ops:+,} on the longest chain "
                f"(T = {more.timesteps} to {more.timesteps + 1})",
            )
        )
    if recorded.hidden_scans:
        hidden = ", ".join(f"{count:,} × {name}" for name, count in recorded.hidden_scans.items())
        lines.append(
            (
                "hidden chains",
                f"{hidden}: one operation each above; counted as log2 n the depth is "
                f"{depth.at.step.depth_ops_scans_as_log2:,} ({_whole(depth.scans_law)})",
            )
        )
    for derived, label in (
        (depth.within_timestep, "within t"),
        (depth.across_timesteps, "across t"),
    ):
        if derived.reason:
            lines.append((label, derived.reason))
    return [*lines, *(("note", note) for note in recorded.notes)]


def _whole(law: Law) -> str:
    return law.text or law.reason or q.NOTHING


def _path(console: Console, depth: ModelDepth) -> None:
    console.print()
    paragraph(console, f"Longest chain at T = {depth.at.timesteps:,}", style="italic")
    for run in depth.recorded.path:
        paragraph(console, as_sentence(run), indent=2)
