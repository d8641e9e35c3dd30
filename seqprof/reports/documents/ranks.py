"""The document of `seqprof trace FOLDER`: the ranks of one job side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqprof.reports import quantities as q
from seqprof.reports.document import (
    USEFUL,
    Cell,
    Document,
    Prose,
    Section,
    Table,
    View,
    heads,
    none,
    word,
)

if TYPE_CHECKING:  # its module needs numpy
    from seqprof.analysis.timeline.ranks import RankLine, RanksSummary
    from seqprof.reports.formats import Result

#: Ranks in the table; the JSON has all.
MOST_RANKS = 64
_NS = 1e-9


def document(result: Result, view: View) -> Document:
    """Return the document of the ranks of one folder."""
    summary: RanksSummary = result.summary
    said = _said(summary)
    shown = summary.ranks[:MOST_RANKS]
    hidden = len(summary.ranks) - len(shown)
    columns = heads(
        "rank",
        "busy",
        "idle",
        ("idle share", "idle"),
        ("mainly idle", "mainly\nidle", USEFUL),
        ("step (median)", "step", USEFUL),
        ("exposed collectives", "exposed"),
        ("wait for others", "wait"),
        ("clock", "clock", USEFUL),
        ("file", "file", USEFUL),
    )
    table = Table(
        caption="Ranks",
        columns=columns,
        rows=[_row(number, line) for number, line in enumerate(shown)],
        remarks=[f"{hidden} more ranks are in the JSON."] if hidden else [],
    )
    failed = [f"Not read: {reason}" for reason in summary.failed]
    return Document(
        title=f"Ranks of {summary.source}",
        subtitle=f"{len(summary.ranks)} ranks",
        line=f"{summary.source}: {' '.join(said)}",
        sections=[
            Section(title="", name="The answer", blocks=[Prose(lines=said, tone="answer")]),
            Section(title="Ranks", blocks=[table]),
            *([Section(title="Files left out", blocks=[Prose(lines=failed)])] if failed else []),
        ],
    )


def _said(summary: RanksSummary) -> list[str]:
    lines = []
    if summary.slowest is not None:
        line = summary.ranks[summary.slowest]
        why = (
            "the others wait for it in collectives"
            if summary.matched
            else "its device works longest beside collectives"
        )
        lines.append(f"{name_of(summary.slowest, line)} is the slowest: {why}.")
    if summary.spread is not None:
        lines.append(f"The longest own work is {summary.spread:.2f} times the shortest.")
    if summary.matched:
        lines.append(f"{summary.matched:,} collectives were matched by {summary.by}.")
    else:
        lines.append("No collective is on more than one rank: clocks are not aligned.")
    if summary.ranks_by_file:
        lines.append("The traces do not record their ranks: these are as the files are named.")
    return lines


def name_of(number: int, line: RankLine) -> str:
    """What a rank is called: its recorded number, else its place."""
    name = f"Rank {line.rank}" if line.rank is not None else f"File {number} ({line.source})"
    return name if line.process is None else f"{name}, process {line.process}"


def _row(number: int, line: RankLine) -> list[Cell]:
    return [
        word(str(number if line.rank is None else line.rank)),
        _time(line.busy_ns, "union of intervals"),
        _time(line.idle_ns, "span less busy"),
        none("an empty span") if line.idle_fraction is None else word(f"{line.idle_fraction:.1%}"),
        word(line.main_cause) if line.main_cause else none("it did not idle"),
        _time(line.median_step_ns, "device windows of steps", "no steps"),
        _time(line.exposed_ns, "no compute kernel ran meanwhile"),
        _time(line.wait_ns, "last start less own start, clocks aligned", "no shared collective"),
        _time(line.clock_ns, "median difference of ends", "no shared collective"),
        word(line.source),
    ]


def _time(nanoseconds: int | None, method: str, reason: str = "") -> Cell:
    if nanoseconds is None:
        return none(reason)
    return Cell(text=q.seconds(nanoseconds * _NS), method=method)
