"""Windows over the numeric columns of a CSV file, to forecast them."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.spec_checks import effective_head
from seqprof.workloads.batches import Batch, DataFacts
from seqprof.workloads.lengths import Lengths, pad
from seqprof.workloads.registry import is_causal

_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Table:
    """Numeric columns, ``values`` ``[rows, columns]`` float32, and the columns left out."""

    names: tuple[str, ...]
    values: Tensor
    left_out: tuple[str, ...]


class CsvData:
    """Windows; the targets are the same columns, ``horizon`` timesteps ahead.

    At every t for a causal model. A model that sees the whole window predicts only what comes
    ``horizon`` timesteps after its end.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        head = effective_head(spec)
        if head != "regression":
            raise SeqprofError(
                f"model.head: {head} needs classes; csv data are numbers", "use regression"
            )
        if spec.data.path is None:
            raise SeqprofError("data.path: csv data needs a file")
        file = folder / Path(spec.data.path).expanduser()
        table = read_table(file, spec.data.columns)
        self._spec, self._seed, self._lengths = spec.data, spec.train.seed, Lengths(spec.data)
        self._horizon = spec.data.horizon or 1
        self._every = is_causal(spec.model)
        rows, columns = table.values.shape
        if rows < spec.data.seq_len + self._horizon:
            raise SeqprofError(
                f"data.path: {file} has {rows} rows, too few for sequences of "
                f"{spec.data.seq_len} timesteps and a target {self._horizon} ahead",
                f"set data.seq_len to at most {rows - self._horizon}"
                if rows > self._horizon
                else "lower data.horizon or give a longer file",
            )
        deviation, mean = torch.std_mean(table.values.double(), 0)
        scale = torch.where((deviation > 0) & deviation.isfinite(), deviation, 1.0)
        self._values = ((table.values - mean) / scale).float()
        self.facts = DataFacts(
            self._describe(file, table), features=columns, outputs=columns, per_timestep=self._every
        )

    def _describe(self, file: Path, table: Table) -> str:
        rows, columns = table.values.shape
        left_out = f", not numeric: {', '.join(table.left_out)}" if table.left_out else ""
        return (
            f"{file.name} ({rows:,} rows, {columns} columns standardised{left_out}), "
            f"{self._horizon} ahead, {self._lengths.describe()}"
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        window = torch.arange(timesteps)
        while True:
            starts = torch.randint(
                len(self._values) - timesteps - self._horizon + 1,
                (batch_size, 1),
                generator=generator,
            )
            lengths = self._lengths.draw(batch_size, generator)
            inputs = self._values[starts + window]
            if self._every:
                targets = self._values[starts + window + self._horizon]
            else:
                ends = timesteps if lengths is None else lengths
                targets = self._values[starts.squeeze(1) + ends - 1 + self._horizon]
            yield pad(Batch(inputs, targets), lengths, self._lengths.packed)


def read_table(file: Path, columns: list[str] | None) -> Table:
    """Read the numeric columns of ``file``, or those named.

    The first line is a header unless all of it is numbers; then columns are called 1, 2, …. Comma,
    semicolon or tab separates, whichever the first line has most of. Without ``columns``, those
    whose first value is no number are left out.

    Raises:
        SeqprofError: unreadable, ragged, not numeric, or without the columns named, with file:line.
    """
    header, rows = _read_rows(file)
    first = rows[0][1]
    wanted = _wanted(file, header, first, columns)
    values = []
    for line, row in rows:
        if len(row) != len(header):
            raise SeqprofError(
                f"{file}:{line}: {len(row)} values where the first line has {len(header)}"
            )
        values.append([_number(file, line, header[index], row[index]) for index in wanted])
    names = tuple(header[index] for index in wanted)
    left_out = () if columns else tuple(name for name in header if name not in names)
    return Table(names, torch.tensor(values, dtype=torch.float64), left_out)


def _read_rows(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and each row with its line."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = max(_DELIMITERS, key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise SeqprofError(f"data.path: cannot read {file}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SeqprofError(f"data.path: {file} is not a CSV file in UTF-8: {error}") from error
    if rows and not all(_parse(value) is not None for value in rows[0][1]):
        header = [name.strip() for name in rows.pop(0)[1]]
    else:
        header = [str(index + 1) for index in range(len(rows[0][1]))] if rows else []
    if not rows:
        raise SeqprofError(f"data.path: {file} has no rows of data")
    return header, rows


def _wanted(
    file: Path, header: list[str], first: list[str], columns: list[str] | None
) -> list[int]:
    if columns is None:
        found = [i for i, value in enumerate(first[: len(header)]) if _parse(value) is not None]
        if not found:
            raise SeqprofError(f"data.path: {file} has no numeric column")
        return found
    for name in columns:
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1)
            raise SeqprofError(
                f"data.columns: {file} has no column {name!r}",
                f"did you mean {near[0]!r}?" if near else f"it has {', '.join(header)}",
            )
    return [header.index(name) for name in columns]


def _number(file: Path, line: int, column: str, value: str) -> float:
    number = _parse(value)
    if number is None:
        raise SeqprofError(
            f"{file}:{line}: column {column!r} is {value!r}, not a finite number",
            "fill missing values in, or choose other columns with data.columns",
        )
    return number


def _parse(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
