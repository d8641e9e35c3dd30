"""What the marks of a recurrence bound, on clocks whose truth is known."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqprof.instruments.clocks import host_clock_ns
from seqprof.instruments.loops import Loop
from seqprof.instruments.operations import OperationCounter
from seqprof.instruments.timesteps import LoopMarks, TimestepProbe

BATCH, SIZE = 3, 8


class PlantedCell(nn.Module):
    """An RNN cell that does ``extra`` more multiplications at the planted timesteps."""

    def __init__(self, planted: set[int], extra: int) -> None:
        super().__init__()
        self.cell = nn.RNNCell(SIZE, SIZE)
        self.planted, self.extra, self.t = planted, extra, 0

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        h = self.cell(x, h)
        if self.t in self.planted:
            for _ in range(self.extra):
                h = h * 1.01
        self.t += 1
        return h


class Recurrence(nn.Module):
    """Linear entry, loop over a cell, linear exit; ``checkpointed`` recomputes the loop."""

    def __init__(self, cell: nn.Module, checkpointed: bool = False) -> None:
        super().__init__()
        self.entry = nn.Linear(SIZE, SIZE)
        self.cell = cell
        self.exit = nn.Linear(SIZE, SIZE)
        self.checkpointed = checkpointed

    def loop(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.shape[0], SIZE), []
        for x_t in x.unbind(1):
            output = self.cell(x_t, h)
            h = output[0] if isinstance(output, tuple) else output
            outputs.append(h)
        return torch.stack(outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = checkpoint(self.loop, x, use_reentrant=False) if self.checkpointed else self.loop(x)
        result: Tensor = self.exit(y)
        return result


def step(model: nn.Module, probe: TimestepProbe, timesteps: int, start: int = 0) -> None:
    x = torch.randn(BATCH, timesteps, SIZE)
    probe.begin_forward(start, start + timesteps)
    y = model(x)
    probe.end_forward()
    y.square().mean().backward()


def probed(model: Recurrence, timesteps: int, read: Any) -> LoopMarks:
    probe = TimestepProbe([Loop("cell", model.cell, timesteps)], timesteps, read)
    probe.begin_step([True] * timesteps, [True] * timesteps)
    step(model, probe, timesteps)
    return probe.marks[0]


def test_marks_come_in_the_order_of_the_computation() -> None:
    ticks = count()
    marks = probed(Recurrence(nn.GRUCell(SIZE, SIZE)), 5, lambda: next(ticks))
    order = [*marks.entries, marks.exits[4], *reversed(marks.gradients), marks.ends[0]]
    assert order == sorted(order)


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell])
def test_every_timestep_of_a_plain_cell_launches_the_same_operations(cell: Any) -> None:
    timesteps = 6
    with OperationCounter() as counter:
        marks = probed(Recurrence(cell(SIZE, SIZE)), timesteps, counter.read)
    forward = [b - a for a, b in map(marks.forward_span, range(timesteps))]
    backward = [b - a for a, b in map(marks.backward_span, range(timesteps))]
    assert len(set(forward)) == 1
    assert forward[0] > 0
    # The first timestep has no earlier gradient to add to and no h_{-1} to send one to.
    assert len(set(backward[1:-1])) == 1
    assert 0 < backward[0] <= backward[1]


def test_doubled_work_shows_at_just_the_planted_timesteps_and_nowhere_else() -> None:
    timesteps, planted, extra = 16, {3, 11}, 7
    with OperationCounter() as counter:
        marks = probed(Recurrence(PlantedCell(planted, extra)), timesteps, counter.read)
    for span in (marks.forward_span, marks.backward_span):
        counts = [b - a for a, b in map(span, range(timesteps))]
        inner = range(1, timesteps - 1)
        usual = counts[1]
        assert {t for t in inner if counts[t] != usual} == planted
        assert all(counts[t] == usual + extra for t in planted)


def test_planted_work_is_found_by_the_clock_too() -> None:
    timesteps, planted = 32, {5, 20}
    cell = PlantedCell(planted, 200)
    model = Recurrence(cell)
    slowest: list[set[int]] = []
    for _ in range(5):
        cell.t = 0
        marks = probed(model, timesteps, host_clock_ns)
        for span in (marks.forward_span, marks.backward_span):
            times = [b - a for a, b in map(span, range(timesteps))]
            slowest.append(set(sorted(range(timesteps), key=times.__getitem__)[-2:]))
    assert sum(found == planted for found in slowest) > len(slowest) / 2


def test_spans_and_what_lies_outside_tile_the_phase() -> None:
    timesteps = 8
    model = Recurrence(nn.LSTMCell(SIZE, SIZE))
    model.loop = lambda x: lstm_loop(model.cell, x)  # type: ignore[method-assign]
    start = host_clock_ns()
    marks = probed(model, timesteps, host_clock_ns)
    end = host_clock_ns()
    forward = sum(b - a for a, b in map(marks.forward_span, range(timesteps)))
    backward = sum(b - a for a, b in map(marks.backward_span, range(timesteps)))
    (first, last), (late, early) = marks.forward_segments()[0], marks.backward_segments()[0]
    assert forward == last - first
    assert backward == early - late
    assert start < first < last < late < early < end


def lstm_loop(cell: nn.Module, x: Tensor) -> Tensor:
    h = c = x.new_zeros(x.shape[0], SIZE)
    outputs = []
    for x_t in x.unbind(1):
        h, c = cell(x_t, (h, c))
        outputs.append(h)
    return torch.stack(outputs, 1)


def test_only_chosen_timesteps_are_marked() -> None:
    timesteps = 12
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    probe = TimestepProbe([Loop("cell", model.cell, timesteps)], timesteps, host_clock_ns)
    forward = [t in {4} for t in range(timesteps)]
    backward = [t in {8} for t in range(timesteps)]
    probe.begin_step(forward, backward)
    step(model, probe, timesteps)
    marks = probe.marks[0]
    assert {t for t, stamp in enumerate(marks.entries) if stamp} == {0, 4, 5}
    assert {t for t, stamp in enumerate(marks.gradients) if stamp} == {7, 8, timesteps - 1}
    complete = [t for t in range(timesteps) if None not in marks.forward_span(t)]
    assert complete == [4]


def test_segments_of_micro_batches_do_not_mix() -> None:
    ticks = count()
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    probe = TimestepProbe([Loop("cell", model.cell, 4)], 8, lambda: next(ticks))
    probe.begin_step([True] * 8, [True] * 8)
    step(model, probe, 4)
    step(model, probe, 3, start=4)  # a shorter batch leaves its last timestep unmarked
    marks = probe.marks[0]
    assert marks.firsts == [0, 4]
    assert all(b > a for a, b in map(marks.forward_span, [0, 1, 2, 3, 4, 5, 6]))
    assert all(b > a for a, b in map(marks.backward_span, [0, 1, 2, 3, 4, 5, 6]))
    assert marks.entries[7] is None


def test_recomputation_by_checkpointing_is_not_taken_for_the_forward() -> None:
    timesteps = 5
    marks = probed(Recurrence(nn.RNNCell(SIZE, SIZE), checkpointed=True), timesteps, host_clock_ns)
    assert marks.calls_beyond == 0
    spans = [marks.forward_span(t) for t in range(timesteps)]
    assert all(b > a for a, b in spans)


def test_the_model_is_left_as_it_was() -> None:
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    before = model.cell.forward
    probed(model, 4, host_clock_ns)
    assert "forward" not in model.cell.__dict__
    assert model.cell.forward == before


def test_marks_change_no_gradient() -> None:
    torch.manual_seed(0)
    model = Recurrence(nn.GRUCell(SIZE, SIZE))
    x = torch.randn(BATCH, 6, SIZE)
    model(x).square().mean().backward()
    expected = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    probe = TimestepProbe([Loop("cell", model.cell, 6)], 6, host_clock_ns)
    probe.begin_step([True] * 6, [True] * 6)
    probe.begin_forward(0, 6)
    y = model(x)
    probe.end_forward()
    y.square().mean().backward()
    actual = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_too_few_and_too_many_calls_are_counted() -> None:
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    for expected, beyond, missing in ((4, 2, 0), (8, 0, 2)):
        probe = TimestepProbe([Loop("cell", model.cell, expected)], expected, host_clock_ns)
        probe.begin_step([True] * expected, [True] * expected)
        probe.begin_forward(0, expected)
        model(torch.randn(BATCH, 6, SIZE))
        probe.end_forward()
        assert (probe.marks[0].calls_beyond, probe.marks[0].calls_missing) == (beyond, missing)
