"""Rows as CSV (RFC 4180): tidy, one value a line, results of any kind below one another."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence

from seqprof.analysis.rows import Row
from seqprof.reports.escaping import printable
from seqprof.reports.formats import EVERY_KIND, Format, Result

#: The columns: where the value is from, what it is, the value, and how much to believe it.
COLUMNS = (
    "run", "kind", "candidate", "against", "seq_len", "batch_size",
    "metric", "phase", "loop", "clock", "device", "step", "cause", "kernel",
    "timestep", "timesteps", "unit", "value", "low", "high", "method", "verdict", "reason",
)  # fmt: skip
#: A cell of text that begins so is a formula to a spreadsheet, which runs it.
_FORMULA = ("=", "+", "-", "@", "\t")


def render(results: Sequence[Result]) -> bytes:
    """Return UTF-8 with a header; an empty cell is nothing, and `reason` says why a value is."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # its default dialect is RFC 4180's: CRLF, quotes where needed
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerows(_lines(result))
    return text.getvalue().encode()


def _lines(result: Result) -> Iterator[list[str]]:
    whole: dict[str, str | int] = {"run": result.name, "kind": result.kind}
    if result.kind == "run":
        made = result.summary.header.workload
        whole |= {
            "candidate": f"{made.model}@{made.execution}" if made.execution else made.model,
            "seq_len": made.timesteps,
            "batch_size": made.batch_size,
        }
    for row in result.rows(most_timestep_rows=sys.maxsize):
        yield [_cell(_value(row, whole, column)) for column in COLUMNS]


def _value(row: Row, whole: dict[str, str | int], column: str) -> str | float | None:
    value: str | float | None = getattr(row, column, None)
    return whole.get(column) if value is None else value


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


CSV = Format(
    name="csv",
    title="tidy rows, one value a line, for pandas, DuckDB, R and spreadsheets",
    suffixes=(".csv",),
    kinds=EVERY_KIND,
    several=True,
    render=render,
)
