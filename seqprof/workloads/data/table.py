"""A delimited text file → numeric columns, with what people leave in such files put right."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import DataSpec
from seqprof.workloads.data.files import decode, read_bytes

_DELIMITERS = ",;\t|"
#: Lines from which delimiter, decimal mark and header are told.
_SAMPLE = 50
#: What stands where nothing was recorded; compared without case.
_MISSING = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none", "#n/a", ".", "missing"})
#: 1.234,5 and -0,25: numbers with a decimal comma, thousands grouped by points.
_COMMA_NUMBER = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+)?,\d+([eE][-+]?\d+)?")
_GROUPED = re.compile(r"[-+]?\d{1,3}(\.\d{3})+(,\d+)?")


@dataclass(frozen=True, slots=True)
class NumberTable:
    """Numeric columns of a file.

    Attributes:
        names: of the columns.
        values: ``[rows, columns]`` float64.
        left_out: columns that are no numbers.
        segments: first row and rows of each series, one after the other.
        notes: what was found and done, in words.
    """

    names: tuple[str, ...]
    values: Tensor
    left_out: tuple[str, ...]
    segments: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Cells:
    """The file in cells.

    Attributes:
        lines: line in the file of each row.
        aligned: the lines of a file whose cells stand apart by any number of spaces.
    """

    file: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    comma: bool = False
    aligned: list[str] = field(default_factory=list)

    def place(self, row: int, column: int) -> str:
        """``file:line:column`` of a cell."""
        line = self.lines[row]
        if self.aligned:
            before = [cell.start() for cell in re.finditer(r"\S+", self.aligned[line - 1])][column]
        else:
            before = sum(len(cell) + 1 for cell in self.rows[row][:column])
        return f"{self.file}:{line}:{before + 1}"

    def number(self, text: str) -> float | None:
        """The number that a cell holds; None where it is none."""
        return parse_number(text, self.comma)


def parse_number(text: str, comma: bool) -> float | None:
    """Return the finite number in ``text``; ``comma``: written with a decimal comma."""
    text = text.strip()
    if comma:
        if _GROUPED.fullmatch(text):
            text = text.replace(".", "")
        text = text.replace(",", ".")
    elif "_" in text:  # Python's own grouping is no number elsewhere
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing was recorded."""
    return text.strip().lower() in _MISSING


def read_table(file: Path, data: DataSpec) -> NumberTable:
    """Read the numeric columns of ``file``, or those that ``data.columns`` names.

    Delimiter (comma, semicolon, tab, bar, else spaces), decimal comma, header, encoding and
    compression are told by the content, unless the spec says them. Without a header columns are
    called 1, 2, ….

    Raises:
        SeqprofError: unreadable, ragged, not numeric, with gaps that ``data.missing`` does not say
            what to do with, or without the columns named; with file:line:column.
    """
    text, encoding = decode(read_bytes(file), file, data.encoding)
    cells = _split(file, text, data)
    notes = [] if encoding in ("utf-8", "utf-8-sig") else [f"read as {encoding}"]
    notes += ["decimal comma"] * cells.comma
    wanted = _wanted(cells, data)
    notes += _drop_ragged(cells, data)
    values = _numbers(cells, wanted, data)
    segments, order = _segments(cells, data)
    values = values[order]
    values, segments, done = _without_gaps(values, segments, data.missing)
    notes += done
    names = tuple(cells.header[index] for index in wanted)
    group = {data.group} if data.group else set()
    left_out = (
        ()
        if data.columns
        else tuple(name for name in cells.header if name not in names and name not in group)
    )
    return NumberTable(names, torch.from_numpy(values), left_out, segments, tuple(notes))


# Cells ------------------------------------------------------------------------------------------


def _split(file: Path, text: str, data: DataSpec) -> _Cells:
    sample = [line for line in text.splitlines()[: _SAMPLE + 1] if line.strip()]
    if not sample:
        raise SeqprofError(f"data.path: {file} has no rows of data")
    delimiter = _delimiter(sample)
    rows, lines = [], []
    for row, line in _rows(file, text, delimiter):
        if any(cell.strip() for cell in row):
            rows.append(row)
            lines.append(line)
    comma = data.decimal == "," if data.decimal else delimiter != "," and _has_commas(rows)
    aligned = text.splitlines() if delimiter == " " else []
    cells = _Cells(file, [], rows, lines, comma, aligned)
    cells.header = _take_header(cells, data.header)
    if not cells.rows:
        raise SeqprofError(f"data.path: {file} has no rows of data")
    return cells


def _rows(file: Path, text: str, delimiter: str) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of each row and the number of its line; those of spaces may be aligned."""
    if delimiter == " ":
        yield from ((line.split(), number) for number, line in enumerate(text.splitlines(), 1))
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        yield from ((row, reader.line_num) for row in reader)
    except csv.Error as error:
        raise SeqprofError(f"{file}:{reader.line_num}:1: not a CSV file: {error}") from error


def _delimiter(sample: list[str]) -> str:
    """The one that splits most lines alike; of several the one that splits into most.

    Spaces are one where no other is: names and dates may have spaces in them.
    """

    def evenness(delimiter: str) -> tuple[int, int]:
        runs = delimiter == " "
        counts = [len(line.split()) - 1 if runs else line.count(delimiter) for line in sample]
        usual = max(set(counts), key=counts.count)
        return (counts.count(usual) if usual else 0), usual

    best = max(_DELIMITERS, key=evenness)
    return best if evenness(best)[0] or not evenness(" ")[0] else " "


def _has_commas(rows: list[list[str]]) -> bool:
    cells = [cell.strip() for row in rows[1 : _SAMPLE + 1] for cell in row]
    return any(_COMMA_NUMBER.fullmatch(cell) for cell in cells)


def _take_header(cells: _Cells, said: bool | None) -> list[str]:
    """Return the names of the columns; the row that has them is taken out."""
    first = cells.rows[0]
    has = said
    if has is None:
        # Names stand over numbers: a first row that is as numeric as the others has none.
        below = cells.rows[1 : _SAMPLE + 1]
        has = any(
            cells.number(cell) is None
            and not is_missing(cell)
            and (not below or any(_is_number(cells, row, column) for row in below))
            for column, cell in enumerate(first)
        )
    if not has:
        return [str(index + 1) for index in range(len(first))]
    del cells.rows[0], cells.lines[0]
    return [name.strip() for name in first]


def _is_number(cells: _Cells, row: list[str], column: int) -> bool:
    return column < len(row) and cells.number(row[column]) is not None


def _drop_ragged(cells: _Cells, data: DataSpec) -> list[str]:
    width = len(cells.header)
    ragged = [index for index, row in enumerate(cells.rows) if len(row) != width]
    if not ragged:
        return []
    if data.missing != "drop":
        first = ragged[0]
        raise SeqprofError(
            f"{cells.file}:{cells.lines[first]}:1: {len(cells.rows[first])} values where the first "
            f"line has {width}",
            "repair the line, or set data.missing: drop to leave such lines out",
        )
    for index in reversed(ragged):
        del cells.rows[index], cells.lines[index]
    if not cells.rows:
        raise SeqprofError(f"data.path: {cells.file} has no rows of data")
    return [f"{len(ragged):,} broken lines left out"]


# Columns ----------------------------------------------------------------------------------------


def _wanted(cells: _Cells, data: DataSpec) -> list[int]:
    if data.group is not None:
        _index(cells, data.group, "data.group")
    if data.columns is not None:
        return [_index(cells, name, "data.columns") for name in data.columns]
    columns = [
        index
        for index in range(len(cells.header))
        if cells.header[index] != data.group and _is_numeric(cells, index)
    ]
    if not columns:
        first = ", ".join(repr(cell.strip()) for cell in cells.rows[0][:5])
        raise SeqprofError(
            f"data.path: {cells.file} has no numeric column; its first row is {first}",
            "numbers such as 1,5 between commas need data.decimal: ',' and another delimiter",
        )
    return columns


def _index(cells: _Cells, name: str, key: str) -> int:
    if name in cells.header:
        return cells.header.index(name)
    near = difflib.get_close_matches(name, cells.header, n=1)
    raise SeqprofError(
        f"{key}: {cells.file} has no column {name!r}",
        f"did you mean {near[0]!r}?" if near else f"it has {', '.join(cells.header)}",
    )


def _is_numeric(cells: _Cells, column: int) -> bool:
    """Whether the first thing recorded in a column is a number."""
    for row in cells.rows:
        if column < len(row) and not is_missing(row[column]):
            return cells.number(row[column]) is not None
    return False


def _numbers(cells: _Cells, wanted: list[int], data: DataSpec) -> npt.NDArray[np.float64]:
    """Return the values of all rows, gaps as NaN."""
    values = np.full((len(cells.rows), len(wanted)), np.nan)
    for row, texts in enumerate(cells.rows):
        for at, column in enumerate(wanted):
            number = cells.number(texts[column])
            if number is not None:
                values[row, at] = number
            elif not is_missing(texts[column]):
                raise SeqprofError(
                    f"{cells.place(row, column)}: column {cells.header[column]!r} is "
                    f"{texts[column].strip()!r}, not a finite number",
                    "choose other columns with data.columns"
                    + ("" if cells.comma else "; for a decimal comma set data.decimal: ','"),
                )
            elif data.missing in (None, "error"):
                raise SeqprofError(
                    f"{cells.place(row, column)}: column {cells.header[column]!r} has no value: "
                    f"{texts[column].strip()!r}",
                    "set data.missing: interpolate, fill (the value before), or drop (the row); "
                    "or choose other columns with data.columns",
                )
    return values


# Series and gaps --------------------------------------------------------------------------------


def _segments(
    cells: _Cells, data: DataSpec
) -> tuple[tuple[tuple[int, int], ...], npt.NDArray[np.int64]]:
    """Return where each series lies once the rows are in the order that is returned with it."""
    count = len(cells.rows)
    if data.group is None:
        return ((0, count),), np.arange(count)
    column = cells.header.index(data.group)
    rows: dict[str, list[int]] = {}
    for row, texts in enumerate(cells.rows):
        rows.setdefault(texts[column].strip(), []).append(row)
    segments, first = [], 0
    for members in rows.values():
        segments.append((first, len(members)))
        first += len(members)
    return tuple(segments), np.array([row for members in rows.values() for row in members])


def _without_gaps(
    values: npt.NDArray[np.float64], segments: tuple[tuple[int, int], ...], how: str | None
) -> tuple[npt.NDArray[np.float64], tuple[tuple[int, int], ...], list[str]]:
    gaps = np.asarray(np.isnan(values))
    if not gaps.any():
        return values, segments, []
    if how == "drop":
        whole = np.asarray(~gaps.any(axis=1))
        counts = [int(whole[first : first + rows].sum()) for first, rows in segments]
        firsts = np.cumsum([0, *counts[:-1]])
        dropped = int((~whole).sum())
        shortened = tuple((int(f), c) for f, c in zip(firsts, counts, strict=True))
        return values[whole], shortened, [f"{dropped:,} rows with gaps dropped"]
    for first, rows in segments:
        for column in range(values.shape[1]):
            _fill(values[first : first + rows, column], linear=how == "interpolate")
    done = "interpolated" if how == "interpolate" else "filled"
    return values, segments, [f"{int(gaps.sum()):,} missing values {done}"]


def _fill(series: npt.NDArray[np.float64], linear: bool) -> None:
    """Fill the gaps of one column in place; what lies before the first value becomes that."""
    known = np.flatnonzero(~np.isnan(series))
    at = np.arange(len(series))
    if not len(known):
        series[:] = 0.0
    elif linear:
        series[:] = np.interp(at, known, series[known])
    else:
        last = np.searchsorted(known, at, side="right") - 1
        series[:] = series[known[last.clip(min=0)]]
