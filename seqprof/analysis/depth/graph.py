"""Work and depth of a graph of operations.

Terms of the work-span model (Cormen et al., Introduction to Algorithms, ch. 26): *work* is all
operations, *depth* those on the longest chain in which each consumes an earlier one's output,
*parallelism* work over depth.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.depth.operation_graph import OperationGraph, longest

#: The phases that make up a training step's chain; the optimizer is shown apart.
STEP_PHASES = ("forward", "loss", "backward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Work and depth of one phase, or of forward, loss and backward together."""

    work_ops: Annotated[int, Meta(description="operations; views and allocations excluded")]
    depth_ops: Annotated[
        int, Meta(description="on the longest chain, each consuming the previous one's output")
    ]
    depth_ops_scans_as_log2: Annotated[
        int,
        Meta(
            description="the same chain where an operation that hides a chain of n elements "
            "(cumsum …) counts as ceil(log2 n)"
        ),
    ]
    work_flops: Annotated[int, Meta(description="of matrix products, convolutions, attention")]
    span_flops: Annotated[int, Meta(description="most FLOPs on one chain")]
    work_bytes: Annotated[int, Meta(description="read and written by all operations")]
    parallelism: Annotated[float | None, Meta(description="work_ops / depth_ops")]
    depth_ops_by_storage: Annotated[
        int | None,
        Meta(
            description="where an operation follows whichever wrote last to any part of a storage "
            "that it takes: an order of memory, not a flow of data; null in an older document"
        ),
    ] = None


def cost(
    graph: OperationGraph, phases: Collection[str] = STEP_PHASES, until: int | None = None
) -> Cost:
    """Return work and depth of the operations of ``phases``, and of nothing else.

    Args:
        until: take only so many operations, from the first on.
    """
    counted = [n for n, phase in enumerate(graph.phases[:until]) if phase in phases]
    scans = _scan_weights(graph)
    depth = longest(graph.sources, counted, lambda number: 1)
    return Cost(
        work_ops=len(counted),
        depth_ops=depth,
        depth_ops_scans_as_log2=longest(graph.sources, counted, lambda n: scans.get(n, 1)),
        work_flops=sum(graph.flops[n] for n in counted),
        span_flops=longest(graph.sources, counted, graph.flops.__getitem__),
        work_bytes=sum(graph.bytes_moved[n] for n in counted),
        parallelism=len(counted) / depth if depth else None,
        depth_ops_by_storage=longest(graph.before, counted, lambda number: 1),
    )


def ends_of_steps(graph: OperationGraph) -> list[int]:
    """Return how many operations have run at the end of each forward, loss and backward.

    Truncated BPTT has several; any other step one.
    """
    phases = [phase for phase in graph.phases if phase in STEP_PHASES]
    begins = [
        number
        for number, (before, after) in enumerate(pairwise(phases), start=1)
        if after == "forward" != before
    ]
    return [*begins, len(phases)]


def _scan_weights(graph: OperationGraph) -> dict[int, int]:
    return {number: max(1, (n - 1).bit_length()) for number, n in graph.scans.items()}


def hidden_scans(graph: OperationGraph) -> dict[str, int]:
    """Return how often each operation occurs that hides a chain."""
    counts: dict[str, int] = {}
    for number in graph.scans:
        counts[graph.names[number]] = counts.get(graph.names[number], 0) + 1
    return counts


def critical_path(graph: OperationGraph, phases: Collection[str] = STEP_PHASES) -> tuple[int, ...]:
    """Return the operations of one longest chain, first to last."""
    depths = [0] * len(graph)
    before = [-1] * len(graph)
    last = -1
    for number, (phase, sources) in enumerate(zip(graph.phases, graph.sources, strict=True)):
        if phase not in phases:
            continue
        for source in sources:
            if depths[source] > depths[number]:
                depths[number] = depths[source]
                before[number] = source
        depths[number] += 1
        if last < 0 or depths[number] > depths[last]:
            last = number
    path = []
    while last >= 0:
        path.append(last)
        last = before[last]
    return tuple(reversed(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRun:
    """A sequence of operation names that occurs so many times in a row."""

    repeats: int
    names: tuple[str, ...]


#: Longest period searched for: operations on the chain of one timestep.
LONGEST_PERIOD = 512


def run_length(names: Sequence[str]) -> tuple[OperationRun, ...]:
    """Return ``names`` as runs of what repeats: the longest stretch from the left each time."""
    runs: list[OperationRun] = []
    single: list[str] = []
    position = 0
    while position < len(names):
        period, repeats = _longest_stretch(names, position)
        if repeats < 2:
            single.append(names[position])
            position += 1
            continue
        if single:
            runs.append(OperationRun(repeats=1, names=tuple(single)))
            single = []
        runs.append(OperationRun(repeats=repeats, names=tuple(names[position : position + period])))
        position += period * repeats
    if single:
        runs.append(OperationRun(repeats=1, names=tuple(single)))
    return tuple(runs)


def _longest_stretch(names: Sequence[str], start: int) -> tuple[int, int]:
    """Return period and repeats of what repeats from ``start`` on; of equals the shorter period.

    A stretch of few operations must repeat thrice: two alike in a row is no pattern.
    """
    best_period, best_repeats = 1, 1
    for period in range(1, min(LONGEST_PERIOD, (len(names) - start) // 2) + 1):
        if names[start] != names[start + period]:
            continue
        same = 0
        while (
            start + period + same < len(names)
            and names[start + same] == names[start + period + same]
        ):
            same += 1
        repeats = same // period + 1
        if repeats >= 3 and repeats * period > best_repeats * best_period:
            best_period, best_repeats = period, repeats
            if start + period + same >= len(names) - period:
                break  # it goes on to the end; no other period can gain anything
    return best_period, best_repeats


def dot(graph: OperationGraph, title: str) -> str:
    """Return the graph in Graphviz's DOT language: a cluster per phase, the longest chain bold.

    Each node has ``flops`` and ``bytes`` as attributes, which Graphviz leaves alone.
    """
    on_path = set(critical_path(graph))
    lines = ["digraph depth {", f"  label={_quoted(title)};", "  node [shape=box];"]
    for phase in dict.fromkeys(graph.phases):
        lines += [f"  subgraph cluster_{phase} {{", f"    label={_quoted(phase)};"]
        for number, name in enumerate(graph.names):
            if graph.phases[number] == phase:
                style = ", style=bold, color=red" if number in on_path else ""
                size = f"flops={graph.flops[number]}, bytes={graph.bytes_moved[number]}"
                lines.append(f"    n{number} [label={_quoted(name)}, {size}{style}];")
        lines.append("  }")
    for number, sources in enumerate(graph.sources):
        for source in sources:
            style = " [style=bold, color=red]" if {number, source} <= on_path else ""
            lines.append(f"  n{source} -> n{number}{style};")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'
