"""`seqprof diff --markdown`: for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from seqprof.analysis.differences import CaseChange, Differences
from seqprof.analysis.differences_told import gate_told, told
from seqprof.analysis.gate import Gate
from seqprof.reports import diff_cells as cells
from seqprof.reports.escaping import one_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@$])")


def render_markdown(differences: Differences, gate: Gate | None, keys: Sequence[str] | None) -> str:
    """Return the report as GitHub-flavoured Markdown; long parts are folded."""
    return "\n".join(_lines(differences, gate, keys)) + "\n"


def _lines(
    differences: Differences, gate: Gate | None, keys: Sequence[str] | None
) -> Iterator[str]:
    yield "### seqprof diff"
    yield ""
    for line in gate_told(gate) if gate is not None else ():
        yield f"- **{escape(line)}**"
    for line in differences.incomparable:
        yield f"- **not comparable, compared all the same: {escape(line)}**"
    for sentence in told(differences):
        yield f"- {escape(sentence)}"
    yield ""
    yield f"base: {escape(cells.side(differences.base))}  "
    yield f"new: {escape(cells.side(differences.new))}"
    yield from _settings(differences)
    for case in differences.cases:
        yield from _case(case, keys)
    yield from (f"\n{escape(line)}" for line in differences.unmatched)


def _settings(differences: Differences) -> Iterator[str]:
    changes = [*differences.spec, *differences.environment]
    yield ""
    if not changes:
        yield "Nothing changed in spec or environment."
        return
    yield from _table(("changed", "base", "new"), map(cells.setting, changes))


def _case(case: CaseChange, keys: Sequence[str] | None) -> Iterator[str]:
    yield ""
    yield f"**{escape(case.name)}**"
    yield ""
    yield from _table(cells.METRIC_COLUMNS, cells.metric_rows(case, keys))
    if keys is not None:
        yield from (f"\n{escape(line)}" for line in cells.absent_lines(case, keys))
        return
    for loop in case.loops:
        name = "forward" if loop.phase == "forward" else "BPTT"
        title = f"Timesteps: {loop.loop}, {name}, {loop.clock} clock"
        yield from _folded(title, _table(cells.BIN_COLUMNS, cells.bin_rows(loop)))
    if case.idle_reason is None:
        rows = _table(cells.IDLE_COLUMNS, cells.idle_rows(case.idle))
        yield from _folded("Idle by cause, means of profiled steps", rows)


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{escape(title)}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(columns)
    yield _row(["---", *["---:"] * (len(columns) - 1)], raw=True)
    yield from map(_row, rows)


def _row(cells_: Sequence[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cells_ if raw else map(escape, cells_))} |"


def escape(text: str) -> str:
    """Return text that Markdown and the HTML in it take literally, on one line."""
    return _SPECIAL.sub(_entity, one_line(text))


def _entity(found: re.Match[str]) -> str:
    # Numbers, for HTML and Markdown both take them, and a backslash means nothing inside HTML.
    return f"&#{ord(found[1])};" if found[1] in "<>&@|" else f"\\{found[1]}"
