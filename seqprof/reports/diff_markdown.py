"""`seqprof diff --markdown`: for a comment on a pull request."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from seqprof.analysis.differences import CaseChange, Differences
from seqprof.analysis.differences_told import gate_told, told
from seqprof.analysis.gate import Gate
from seqprof.analysis.timesteps_changed import LoopChange
from seqprof.reports import diff_cells as cells
from seqprof.reports.escaping import markdown, markdown_code, one_line
from seqprof.reports.markdown_pieces import sentences, table


def render_markdown(differences: Differences, gate: Gate | None, keys: Sequence[str] | None) -> str:
    """Return the report as GitHub-flavoured Markdown; long parts are folded.

    Args:
        gate: outcome of `--fail-if-slower`; None where nothing was gated.
        keys: metrics to show; None for all.
    """
    return "\n".join(_lines(differences, gate, keys)) + "\n"


def _lines(
    differences: Differences, gate: Gate | None, keys: Sequence[str] | None
) -> Iterator[str]:
    yield f"### seqprof diff: {markdown_code(differences.new.name)}"
    yield ""
    for line in gate_told(gate) if gate is not None else ():
        yield f"- **{markdown(line)}**"
    for line in differences.incomparable:
        yield f"- **not comparable, compared all the same: {markdown(line)}**"
    yield from sentences(told(differences))
    yield from _settings(differences)
    for case in differences.cases:
        yield from _case(case, keys)
    yield from sentences(differences.unmatched)
    for name, side in (("base", differences.base), ("new", differences.new)):
        yield f"<sub>{name}: {markdown(cells.side(side))}</sub>  "


def _settings(differences: Differences) -> Iterator[str]:
    changes = [*differences.spec, *differences.environment]
    if not changes:
        yield "Nothing changed in spec or environment."
        yield ""
        return
    rows = (tuple(map(markdown_code, cells.setting(change))) for change in changes)
    yield from table(("changed", "base", "new"), rows)


def _case(case: CaseChange, keys: Sequence[str] | None) -> Iterator[str]:
    yield f"**{markdown(case.name)}**"
    yield ""
    rows = ((markdown_code(key), *values) for key, *values in cells.metric_rows(case, keys))
    yield from table(cells.METRIC_COLUMNS, rows)
    if keys is not None:
        yield from sentences(cells.absent_lines(case, keys))
        return
    for loop in case.loops:
        yield from _folded(_title(loop), cells.BIN_COLUMNS, cells.bin_rows(loop))
    if case.idle_reason is None:
        title = "Idle by cause, means of profiled steps"
        rows = (
            (markdown(phase), markdown(cause), *values)
            for phase, cause, *values in cells.idle_rows(case.idle)
        )
        yield from _folded(title, cells.IDLE_COLUMNS, rows)


def _title(loop: LoopChange) -> str:
    phase = "forward" if loop.phase == "forward" else "BPTT"
    return f"Timesteps: {loop.loop}, {phase}, {loop.clock} clock"


def _folded(title: str, columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    # Inside the tag it is HTML, where no backslash escapes.
    yield f"<details><summary>{html.escape(one_line(title))}</summary>"
    yield ""
    yield from table(columns, rows)
    yield "</details>"
    yield ""
