"""Batches and the lengths of their sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqprof.spec import DataSpec, Spec
from seqprof.workloads.batches import IGNORED, Batch, Data
from seqprof.workloads.build import build
from seqprof.workloads.data.lengths import Lengths, pad
from seqprof.workloads.data.opening import open_data
from seqprof.workloads.step import TrainingStep

sizes = st.integers(1, 9)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    rows, timesteps = draw(sizes), draw(sizes)
    numeric, per_timestep = draw(st.booleans()), draw(st.booleans())
    inputs = torch.arange(rows * timesteps).view(rows, timesteps)
    targets = inputs if per_timestep else inputs[:, 0]
    lengths = None
    if draw(st.booleans()):
        drawn = draw(st.lists(st.integers(1, timesteps), min_size=rows, max_size=rows))
        lengths = torch.tensor(drawn)
    if numeric:
        inputs, targets = inputs.unsqueeze(-1).float(), targets.unsqueeze(-1).float()
    return pad(Batch(inputs, targets), lengths, draw(st.booleans()))


@given(batches(), sizes)
def test_chunks_tile_a_batch(batch: Batch, size: int) -> None:
    starts = range(0, batch.timesteps, size)
    chunks = [batch.chunk(s, min(s + size, batch.timesteps)) for s in starts]
    assert torch.equal(torch.cat([c.inputs for c in chunks], 1), batch.inputs)
    assert sum(c.positions for c in chunks) == batch.positions
    assert sum(c.padded_positions or 0 for c in chunks) == batch.padded_positions
    if batch.has_target_per_timestep:
        assert torch.equal(torch.cat([c.targets for c in chunks], 1), batch.targets)
    if batch.lengths is not None:
        lengths = torch.stack([c.lengths for c in chunks if c.lengths is not None])
        assert torch.equal(lengths.sum(0), batch.lengths)


@given(batches(), sizes)
def test_a_prefix_is_what_comes_first(batch: Batch, timesteps: int) -> None:
    if timesteps > batch.timesteps:
        with pytest.raises(ValueError, match="timesteps 0 to"):
            batch.prefix(timesteps)
        return
    prefix = batch.prefix(timesteps)
    assert prefix.timesteps == timesteps
    assert torch.equal(prefix.inputs, batch.inputs[:, :timesteps])
    assert prefix.packed == batch.packed
    assert prefix.padded_positions is not None
    assert 0 <= prefix.padded_positions <= prefix.positions <= batch.positions
    if batch.lengths is not None and prefix.lengths is not None:
        assert torch.equal(prefix.lengths, batch.lengths.clamp(max=timesteps))
    if not batch.has_target_per_timestep:
        assert torch.equal(prefix.targets, batch.targets)


def test_a_class_counts_only_in_chunks_that_its_sequence_reaches() -> None:
    batch = Batch(torch.ones(2, 6, dtype=torch.long), torch.tensor([1, 1]), torch.tensor([6, 2]))
    assert batch.chunk(0, 3).targets.tolist() == [1, 1]
    assert batch.chunk(3, 6).targets.tolist() == [1, IGNORED]


def test_moving_leaves_lengths_on_the_cpu() -> None:
    batch = Batch(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([1, 3])).to("meta")
    assert batch.inputs.is_meta
    assert batch.targets.is_meta
    assert batch.lengths is not None
    assert batch.lengths.device.type == "cpu"


def lengths_of(seq_len: int = 40, **lengths: Any) -> Lengths:
    return Lengths(DataSpec.model_validate({"seq_len": seq_len, "lengths": lengths}))


@given(
    st.sampled_from(["uniform", "normal"]), st.integers(1, 40), st.integers(1, 20), st.integers(0)
)
def test_lengths_lie_between_the_shortest_and_the_longest(
    distribution: str, minimum: int, batch_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed % 2**31)
    drawn = lengths_of(distribution=distribution, minimum=minimum).draw(batch_size, generator)
    assert drawn is not None
    assert drawn.shape == (batch_size,)
    assert minimum <= int(drawn.min())
    assert int(drawn.max()) == 40


def test_lengths_follow_their_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    uniform = lengths_of(distribution="uniform").draw(20_000, generator)
    normal = lengths_of(distribution="normal", mean=20.0, deviation=3.0).draw(20_000, generator)
    assert uniform is not None
    assert normal is not None
    assert set(uniform.tolist()) == set(range(5, 41))
    assert uniform.float().mean() == pytest.approx(22.5, abs=0.3)
    assert normal.float().mean() == pytest.approx(20, abs=0.2)
    assert normal.float().std() == pytest.approx(3, abs=0.2)


def open_with(tmp_path: Path, **data: Any) -> list[Batch]:
    (tmp_path / "t.csv").write_text("".join(f"{i},{i * i % 17}\n" for i in range(60)))
    spec = Spec.model_validate(
        {"model": {"name": "lstm"}, "data": {"seq_len": 12, "batch_size": 5, **data}}
    )
    opened = open_data(spec, tmp_path)
    first, second = list(islice(opened, 3)), list(islice(opened, 3))
    for one, same in zip(first, second, strict=True):
        assert torch.equal(one.inputs, same.inputs)
        assert torch.equal(one.targets, same.targets)
    assert not torch.equal(first[0].inputs, first[1].inputs)
    return first


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "text", "path": "t.csv"},
        {"kind": "csv", "path": "t.csv"},
        {"kind": "synthetic", "task": "copy"},
        {"kind": "synthetic", "task": "random"},
    ],
    ids=["text", "csv", "copy", "random"],
)
def test_every_source_pads_and_counts_its_padding(
    tmp_path: Path, kind: dict[str, str], layout: str
) -> None:
    lengths = {"distribution": "uniform", "minimum": 2, "layout": layout}
    for batch in open_with(tmp_path, **kind, lengths=lengths):
        assert batch.lengths is not None
        padding = torch.arange(12) >= batch.lengths.unsqueeze(1)
        assert not batch.inputs[padding].any()
        ignored = 0 if batch.targets.is_floating_point() else IGNORED
        assert (batch.targets[padding] == ignored).all()
        shares = (batch.positions, batch.padded_positions)
        real = int(batch.lengths.sum())
        assert shares == ((60, 60 - real) if layout == "padded" else (real, 0))
    for batch in open_with(tmp_path, **kind):
        assert batch.lengths is None
        assert (batch.positions, batch.padded_positions) == (60, 0)


class _Noting:
    """Data that note how many threads torch has while a batch is drawn."""

    def __init__(self, data: Data) -> None:
        self._data, self.facts = data, data.facts
        self.threads: list[int] = []

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._data:
            self.threads.append(torch.get_num_threads())
            yield batch


@pytest.mark.parametrize(("device", "threads"), [("cpu", 2), ("meta", 1)])
def test_for_an_accelerator_one_thread_draws_the_batches(device: str, threads: int) -> None:
    """OpenMP's idle threads look for work, and take the processors from those that launch."""
    spec = Spec.model_validate({"model": {"name": "tcn", "hidden_size": 8}, "data": {"seq_len": 8}})
    built = build(spec, Path())
    data = _Noting(built.data)
    step = TrainingStep(
        replace(built, model=built.model.to(device), data=data), spec, torch.device(device)
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        step.next_batch()  # drawn when the step was made
        assert step.next_batch().inputs.device.type == device
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert data.threads[-1] == threads
