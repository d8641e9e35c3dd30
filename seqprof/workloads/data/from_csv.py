"""Windows over the numeric columns of a CSV file, to forecast them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Generator, Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch, DataFacts
from seqprof.workloads.data.lengths import Lengths, pad
from seqprof.workloads.data.table import NumberTable, read_table
from seqprof.workloads.prediction import effective_head
from seqprof.workloads.registry import is_causal


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
        table = read_table(file, spec.data)
        self._spec, self._seed, self._lengths = spec.data, spec.train.seed, Lengths(spec.data)
        self._horizon = spec.data.horizon or 1
        self._every = is_causal(spec.model)
        columns = table.values.shape[1]
        self._starts = self._window_starts(file, table)
        deviation, mean = torch.std_mean(table.values.double(), 0)
        scale = torch.where((deviation > 0) & deviation.isfinite(), deviation, 1.0)
        self._values = ((table.values - mean) / scale).float()
        self.facts = DataFacts(
            self._describe(file, table), features=columns, outputs=columns, per_timestep=self._every
        )

    def _window_starts(self, file: Path, table: NumberTable) -> Tensor:
        """Rows at which a window and its targets fit; no window goes from one series to the next.

        Raises:
            SeqprofError: there is none.
        """
        needed = self._spec.seq_len + self._horizon
        longest = max(rows for _, rows in table.segments)
        if longest < needed:
            what = f"{longest} rows" + (" in its longest series" if self._spec.group else "")
            raise SeqprofError(
                f"data.path: {file} has {what}, too few for sequences of "
                f"{self._spec.seq_len} timesteps and a target {self._horizon} ahead",
                f"set data.seq_len to at most {longest - self._horizon}"
                if longest > self._horizon + 1
                else "lower data.horizon or give a longer file",
            )
        fitting = [(first, rows) for first, rows in table.segments if rows >= needed]
        return torch.cat([torch.arange(f, f + rows - needed + 1) for f, rows in fitting])

    def _describe(self, file: Path, table: NumberTable) -> str:
        rows, columns = table.values.shape
        left_out = f", not numeric: {', '.join(table.left_out)}" if table.left_out else ""
        needed = self._spec.seq_len + self._horizon
        short = sum(count < needed for _, count in table.segments)
        series = f"{len(table.segments):,} series, " if self._spec.group else ""
        notes = "".join(f", {note}" for note in table.notes)
        notes += f", {short:,} series too short" if short else ""
        return (
            f"{file.name} ({series}{rows:,} rows, {columns} columns standardised{left_out}"
            f"{notes}), {self._horizon} ahead, {self._lengths.describe()}"
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        window = torch.arange(timesteps)
        while True:
            drawn = torch.randint(len(self._starts), (batch_size, 1), generator=generator)
            starts = self._starts[drawn]
            lengths = self._lengths.draw(batch_size, generator)
            inputs = self._values[starts + window]
            if self._every:
                targets = self._values[starts + window + self._horizon]
            else:
                ends = timesteps if lengths is None else lengths
                targets = self._values[starts.squeeze(1) + ends - 1 + self._horizon]
            yield pad(Batch(inputs, targets), lengths, self._lengths.packed)
