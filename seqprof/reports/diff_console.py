"""The console report of `seqprof diff`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from seqprof.analysis.differences import CaseChange, Differences
from seqprof.analysis.differences_told import gate_told, told
from seqprof.analysis.gate import Gate
from seqprof.analysis.timesteps_changed import LoopChange
from seqprof.reports import diff_cells as cells
from seqprof.reports.layout import heading, pairs, paragraph, print_to, table

_STYLES = {"FAILED": "bold red", "passed": "green", "not": "yellow"}
#: Short, so that a table of metrics fits 80 columns.
_COLUMNS = ("metric", "base", "new", "ratio", "95%", "verdict")
#: A metric's name is folded at its dots beyond this.
_NAME_WIDTH = 26


def print_differences(
    differences: Differences,
    gate: Gate | None,
    keys: Sequence[str] | None,
    file: TextIO | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Print the report to ``file`` (default: stdout).

    Args:
        gate: outcome of `--fail-if-slower`; None where nothing was gated.
        keys: metrics to show; None for all.
        quiet: only what it comes to.
    """
    print_to(
        file or sys.stdout,
        lambda console: render(differences, gate, keys, console, quiet=quiet),
    )


def render(
    differences: Differences,
    gate: Gate | None,
    keys: Sequence[str] | None,
    console: Console,
    *,
    quiet: bool = False,
) -> None:
    """Print the report."""
    if not quiet:
        _settings(differences, console)
        for case in differences.cases:
            _case(case, keys, console, several=len(differences.cases) > 1)
        for line in differences.unmatched:
            paragraph(console, line, style="yellow")
        heading(console, "In short")
    for line in differences.incomparable:
        paragraph(console, f"not comparable, compared all the same: {line}", style="bold red")
    for sentence in told(differences):
        paragraph(console, sentence)
    for line in gate_told(gate) if gate is not None else ():
        paragraph(console, line, style=_STYLES.get(line.split(":")[0].split()[0], ""))


def _settings(differences: Differences, console: Console) -> None:
    console.print(Text(f"seqprof diff ({differences.kind})", style="bold"))
    pairs(
        console,
        [("base", cells.side(differences.base)), ("new", cells.side(differences.new))],
    )
    heading(console, "What changed in spec and environment")
    changes = [*differences.spec, *differences.environment]
    if not changes:
        paragraph(console, "Nothing.")
        return
    rows = [cells.setting(change) for change in changes]
    pairs(console, [(key, f"{base} → {new}") for key, base, new in rows])


def _case(case: CaseChange, keys: Sequence[str] | None, console: Console, *, several: bool) -> None:
    heading(console, case.name if several else "What was measured")
    table(console, _COLUMNS, list(_metric_rows(case, keys)))
    if keys is not None:
        for line in cells.absent_lines(case, keys):
            paragraph(console, f"— {line}", style="dim")
        return
    for loop in case.loops:
        _loop(loop, console)
    for reason in case.loops_absent:
        paragraph(console, f"— timesteps: {reason}", style="dim")
    _idle(case, console)


def _metric_rows(case: CaseChange, keys: Sequence[str] | None) -> Iterator[tuple[str, ...]]:
    """Yield the metrics; those of one name stand below it, with the rest of their name."""
    group = None
    for key, *values in cells.metric_rows(case, keys):
        head, _, rest = key.partition(".")
        if not rest:
            yield (head, *values)
            continue
        if head != group:
            yield (head, *[""] * len(values))
        group = head
        yield (_folded(rest), *values)


def _folded(rest: str) -> str:
    lines = [" "]
    for part in rest.split("."):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(part) > _NAME_WIDTH:
            lines.append("   ")
        lines[-1] += f".{part}"
    return "\n".join(lines)


def _loop(loop: LoopChange, console: Console) -> None:
    name = "forward" if loop.phase == "forward" else "BPTT"
    heading(console, f"{loop.loop} · {name} · {loop.clock} clock · T = {loop.timesteps}")
    table(console, cells.BIN_COLUMNS, list(cells.bin_rows(loop)))


def _idle(case: CaseChange, console: Console) -> None:
    if case.idle_reason is not None:
        paragraph(console, f"— idle by cause: {case.idle_reason}", style="dim")
        return
    heading(console, f"Idle by cause ({case.idle[0].on if case.idle else 'device'}; per step)")
    table(console, cells.IDLE_COLUMNS, list(cells.idle_rows(case.idle)))
    paragraph(console, "means of a few profiled steps, without interval", style="dim")
