"""What the marks of a recurrence bound, on clocks whose truth is known."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqprof.instruments.clocks import host_clock_ns
from seqprof.instruments.gradient_nodes import first_tensor
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.operations import OperationCounter
from seqprof.instruments.rules import Rule
from seqprof.instruments.timesteps import SegmentMarks, TimestepProbe

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


def probed(model: Recurrence, timesteps: int, read: Any) -> SegmentMarks:
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], read)
    probe.begin_step()
    step(model, probe, timesteps)
    [segment] = probe.marks[0].segments
    return segment


def test_marks_come_in_the_order_of_the_computation() -> None:
    ticks = count()
    marks = probed(Recurrence(nn.GRUCell(SIZE, SIZE)), 5, lambda: next(ticks))
    order = [*marks.entries, marks.exit, *reversed(marks.gradients), marks.end]
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
    (first, last), (late, early) = marks.forward_whole(), marks.backward_whole()
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
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], host_clock_ns)
    probe.begin_step(stride=5, offset=4, longest=timesteps)
    step(model, probe, timesteps)
    [marks] = probe.marks[0].segments
    assert {t for t, stamp in enumerate(marks.entries) if stamp} == {0, 4, 5, 9, 10}
    assert {t for t, stamp in enumerate(marks.gradients) if stamp} == {3, 4, 8, 9, timesteps - 1}
    for span in (marks.forward_span, marks.backward_span):
        assert [t for t in range(timesteps) if None not in span(t)] == [4, 9]


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 40])
def test_rotating_offsets_mark_every_timestep_of_sequences_of_any_length(stride: int) -> None:
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], host_clock_ns)
    seen: dict[str, set[int]] = {"forward": set(), "backward": set()}
    for number in range(stride):
        probe.begin_step(stride, number, longest=4)  # longer ones come
        step(model, probe, 9)
        [marks] = probe.marks[0].segments
        seen["forward"] |= {t for t in range(9) if None not in marks.forward_span(t)}
        seen["backward"] |= {t for t in range(9) if None not in marks.backward_span(t)}
    assert seen == {"forward": set(range(9)), "backward": set(range(9))}


def test_micro_batches_of_any_length_do_not_mix() -> None:
    ticks = count()
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], lambda: next(ticks))
    probe.begin_step()
    step(model, probe, 4)
    step(model, probe, 3, start=4)
    segments = probe.marks[0].segments
    assert [(s.start, s.timesteps, s.positions) for s in segments] == [(0, 4, 4), (4, 3, 3)]
    for marks in segments:
        for span in (marks.forward_span, marks.backward_span):
            assert all(b > a for a, b in map(span, range(marks.positions)))


def test_a_timestep_of_several_calls_is_one_span() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(SIZE, SIZE)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(x.shape[0], SIZE)
            for x_t in x.unbind(1):
                h = self.cell(x_t, self.cell(x_t, h))
            return h

    model = Twice()
    with OperationCounter() as counter:
        probe = TimestepProbe([TimestepLoop("cell", model.cell, Rule(times=2))], counter.read)
        probe.begin_step()
        step(model, probe, 5)
        [marks] = probe.marks[0].segments
    assert marks.positions == 5
    forward = [b - a for a, b in map(marks.forward_span, range(5))]
    single = Recurrence(nn.RNNCell(SIZE, SIZE))
    with OperationCounter() as counter:
        once = probed(single, 5, counter.read)
    assert forward[2] == 2 * (once.forward_span(2)[1] - once.forward_span(2)[0])
    assert all(b > a for a, b in map(marks.backward_span, range(5)))


def test_two_passes_over_one_module_are_marked_apart() -> None:
    ticks = count()
    cell = nn.RNNCell(SIZE, SIZE)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            a = b = x.new_zeros(x.shape[0], SIZE)
            for x_t in x.unbind(1):
                a = self.cell(x_t, a)
            for x_t in reversed(x.unbind(1)):
                b = self.cell(x_t, b)
            return a + b

    rule = Rule(times=2)
    passes = [
        TimestepLoop(f"cell {n}", cell, rule, passes=2, number=n, reverse=n == 1) for n in (0, 1)
    ]
    probe = TimestepProbe(passes, lambda: next(ticks))
    probe.begin_step()
    step(Tied(), probe, 4)
    first, second = (marks.segments[0] for marks in probe.marks)
    assert first.positions == second.positions == 4
    assert first.exit < second.entries[0]
    for marks in (first, second):
        for span in (marks.forward_span, marks.backward_span):
            assert all(b > a for a, b in map(span, range(4)))


def test_an_output_that_nothing_is_made_of_costs_its_own_timestep_only() -> None:
    class LastUnused(Recurrence):
        def loop(self, x: Tensor) -> Tensor:
            h, outputs = x.new_zeros(x.shape[0], SIZE), []
            for x_t in x.unbind(1):
                h = self.cell(x_t, h)
                outputs.append(h)
            return torch.stack(outputs[:-1], 1)

    model = LastUnused(nn.RNNCell(SIZE, SIZE))
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], host_clock_ns)
    known = []
    for _ in range(2):  # after the first step each call has a hook of its own
        probe.begin_step()
        step(model, probe, 6)
        [marks] = probe.marks[0].segments
        known.append([t for t in range(6) if None not in marks.backward_span(t)])
    assert known[1] == [0, 1, 2, 3, 4]
    assert known[0] in ([], known[1])


def test_recomputation_by_checkpointing_is_not_taken_for_the_forward() -> None:
    timesteps = 5
    marks = probed(Recurrence(nn.RNNCell(SIZE, SIZE), checkpointed=True), timesteps, host_clock_ns)
    assert marks.whole
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
    probe = TimestepProbe([TimestepLoop("cell", model.cell)], host_clock_ns)
    probe.begin_step()
    probe.begin_forward(0, 6)
    y = model(x)
    probe.end_forward()
    y.square().mean().backward()
    actual = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_too_few_and_too_many_calls_are_counted() -> None:
    model = Recurrence(nn.RNNCell(SIZE, SIZE))
    for expected, beyond, missing in ((4, 2, 0), (8, 0, 2)):
        probe = TimestepProbe([TimestepLoop("cell", model.cell)], host_clock_ns)
        probe.begin_step()
        probe.begin_forward(0, expected)
        model(torch.randn(BATCH, 6, SIZE))
        probe.end_forward()
        marks = probe.marks[0]
        assert (marks.calls_beyond, marks.calls_missing) == (beyond, missing)
        assert not marks.segments[0].whole


def test_a_word_beside_the_output_is_no_search_without_end() -> None:
    hidden = torch.ones(2, requires_grad=True) * 2
    assert first_tensor(("hidden", {"name": b"h", "value": hidden})) is hidden
    assert first_tensor("hidden") is None
