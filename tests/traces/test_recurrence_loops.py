"""Several loops in one pass: beside layers, small beside large, stacked, one behind another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import recurrent_models as models
import torch
from processor_traces import loops, processor_of, traced
from recurrent_models import HIDDEN, Loss, nothing_yet, sequence
from torch import Tensor, nn

#: A cell's input and state → its next state.
Cell = Callable[[Tensor, Tensor], Tensor]


class Gated(nn.Module):
    """An LSTM's gates in plain operators; its memory is its state."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.state = (nn.Linear(HIDDEN, 4 * HIDDEN) for _ in range(2))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        i, f, o, g = (self.inputs(x) + self.state(memory)).chunk(4, -1)
        memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(memory)


class Leaky(nn.Module):
    """One product and much beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * state + (1 - gate) * x


class Plain(nn.Module):
    """Two products, one of them by a parameter that no module has around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(HIDDEN, HIDDEN) / HIDDEN)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(x + state @ self.weight)


def over(cell: Cell, inputs: Iterable[Tensor], state: Tensor) -> list[Tensor]:
    states = []
    for x in inputs:
        state = cell(x, state)
        states.append(state)
    return states


def in_sequence(timesteps: int, cells: Sequence[Cell]) -> Loss:
    """Layers of cells that differ, each over all timesteps before the next."""

    def loss() -> Tensor:
        x = sequence(timesteps)
        for cell in cells:
            x = torch.stack(over(cell, x.unbind(1), nothing_yet()), 1)
        return x.mean()

    return loss


def encoder_and_decoder(source: int, target: int, encoder: Cell, decoder: Cell) -> Loss:
    """The decoder takes what a head made of its own state."""
    head = nn.Linear(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        output = over(encoder, sequence(source).unbind(1), nothing_yet())[-1]
        state, total = torch.zeros_like(output), output.mean()
        for _ in range(target):
            state = decoder(output, state)
            output = head(state)
        return total + output.mean()

    return loss


def cell_and_layers(timesteps: int, layers: int) -> Loss:
    cell, model = nn.LSTMCell(HIDDEN, HIDDEN), models.Layers(layers)

    def loss() -> Tensor:
        hidden = state = nothing_yet()
        seen = []
        for x in sequence(timesteps).unbind(1):
            hidden, state = cell(x, (hidden, state))
            seen.append(hidden)
        result: Tensor = model(torch.stack(seen, 1)).mean()
        return result

    return loss


@pytest.mark.parametrize("with_stack", [False, True])
def test_a_recurrence_beside_layers_that_take_more_of_the_pass(
    tmp_path: Path, with_stack: bool
) -> None:
    summary = traced(tmp_path, cell_and_layers(12, 6), with_stack=with_stack)
    assert loops(summary) == {"forward": [12], "backward": [12]}


@pytest.mark.parametrize(
    "cells", [(Gated(), nn.GRUCell(HIDDEN, HIDDEN)), (nn.RNNCell(HIDDEN, HIDDEN), Gated(), Leaky())]
)
def test_loops_of_few_operators_beside_one_of_many(tmp_path: Path, cells: list[Cell]) -> None:
    summary = traced(tmp_path, in_sequence(32, cells))
    right = [32] * len(cells)
    assert loops(summary) == {"forward": right, "backward": right}


def test_loops_none_of_which_is_most_of_the_pass(tmp_path: Path) -> None:
    cells = [nn.GRUCell(HIDDEN, HIDDEN), Plain(), Leaky(), nn.RNNCell(HIDDEN, HIDDEN)]
    summary = traced(tmp_path, in_sequence(15, cells), training=False, with_stack=True)
    assert loops(summary) == {"other": [15] * 4}


def test_a_small_loop_between_the_large_ones_of_several_steps(tmp_path: Path) -> None:
    loss = in_sequence(21, [nn.GRUCell(HIDDEN, HIDDEN), Gated()])
    summary = traced(tmp_path, loss, training=False, steps=3)
    assert loops(summary) == {"other": [21] * 6}


def test_steps_share_no_repeat_that_both_reach_for(tmp_path: Path) -> None:
    sampled = models.sampled_characters(7)
    summary = traced(tmp_path, sampled, training=False, steps=2, with_stack=True)
    assert loops(summary) == {"other": [7, 7]}


def test_modules_tell_where_a_loop_behind_another_begins(tmp_path: Path) -> None:
    """The tail of the first loop looks like a repeat of the second."""
    summary = traced(tmp_path, in_sequence(22, [Leaky(), Gated()]), with_stack=True)
    assert loops(summary) == {"forward": [22, 22], "backward": [22, 22]}


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM])
def test_batches_that_shrink_every_few_timesteps(
    tmp_path: Path, kind: Callable[..., nn.RNNBase]
) -> None:
    """Three timesteps and the view that makes a batch smaller repeat as well."""
    loss = models.packed([24, 21, 18, 15, 12, 9, 6, 3], kind)
    assert loops(traced(tmp_path, loss, training=False)) == {"other": [24]}


def test_equal_cells_stacked_in_few_timesteps(tmp_path: Path) -> None:
    cells = [Gated(), Gated()]

    def loss() -> Tensor:
        x, states = sequence(9), [nothing_yet(), nothing_yet()]
        for t in range(9):
            y = x[:, t]
            for row, cell in enumerate(cells):
                y = states[row] = cell(y, states[row])
        return y

    assert loops(traced(tmp_path, loss, training=False)) == {"other": [9]}


def test_a_decoder_of_the_encoders_cells_with_one_operator_more(tmp_path: Path) -> None:
    loss = encoder_and_decoder(31, 20, Gated(), Gated())
    assert loops(traced(tmp_path, loss, training=False)) == {"other": [31, 20]}


@pytest.mark.parametrize("timesteps", [8, 12])
def test_two_short_timesteps_are_no_long_one_of_the_next_loop(
    tmp_path: Path, timesteps: int
) -> None:
    """An attention over the encoder's states makes the decoder's timesteps half as long again."""
    encoder, decoder, head = Gated(), Gated(), nn.Linear(HIDDEN, 1)

    def loss() -> Tensor:
        x, y = sequence(timesteps), sequence(26)
        seen = over(encoder, (x[:, t] for t in range(timesteps)), nothing_yet())
        memory, out, state = torch.stack(seen, 1), seen[-1], nothing_yet()
        for t in range(26):
            scores = torch.softmax(torch.bmm(memory, out.unsqueeze(2)), 1)
            state = decoder(y[:, t] + out + (scores * memory).sum(1), state)
            out = state
        result: Tensor = head(out)
        return result

    assert loops(traced(tmp_path, loss, training=False)) == {"other": [timesteps, 26]}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("indexed", [False, True])
def test_cells_that_make_their_own_states_in_the_first_timestep(
    tmp_path: Path, kind: Callable[..., nn.Module], count: int, training: bool, indexed: bool
) -> None:
    """Where inputs are unbound nothing lies between two cells, and theirs is no T of the loop."""
    cells = [kind(HIDDEN, HIDDEN) for _ in range(count)]

    def loss() -> Tensor:
        states: list[Any] = [None] * count
        inputs = sequence(9)
        for x in (inputs[:, t] for t in range(9)) if indexed else inputs.unbind(1):
            for layer, cell in enumerate(cells):
                states[layer] = cell(x, states[layer])
                x = states[layer][0] if kind is nn.LSTMCell else states[layer]
        return x.square().mean()

    phases = ("forward", "backward") if training else ("other",)
    assert loops(traced(tmp_path, loss, training=training)) == {phase: [9] for phase in phases}


@pytest.mark.parametrize(("source", "target"), [(14, 12), (7, 7)])
def test_a_loop_keeps_what_the_next_one_reached_for(
    tmp_path: Path, source: int, target: int
) -> None:
    """Two timesteps of the encoder are as long as one of the decoder, of which nothing is told."""
    encoder, decoder = Leaky(), Leaky()

    def loss() -> Tensor:
        x, y = sequence(source), sequence(target)
        with torch.autocast("cpu", torch.bfloat16):
            inputs = (part.squeeze(1) for part in x.chunk(source, 1))
            memory, state = torch.stack(over(encoder, inputs, nothing_yet()), 1), nothing_yet()
            for part in y.chunk(target, 1):
                scores = torch.softmax(torch.bmm(memory, state.unsqueeze(2)), 1)
                state = decoder(part.squeeze(1) + (scores * memory).sum(1), state)
            return state.mean() + memory.mean()

    summary = traced(tmp_path, loss)
    for phase in ("forward", "backward"):
        assert loops(summary)[phase] in ([source], [source, target], [target, source])


def forced(source: int, target: int, how: str, handed_on: bool) -> Loss:
    """An encoder and a decoder of equal cells, the decoder given all of its inputs."""
    encoder, decoder = Gated(), Gated()

    def loss() -> Tensor:
        x, y = sequence(source), sequence(target)
        if how == "listed":
            listed = [x[:, t] for t in range(source)], [y[:, t] for t in range(target)]
        seen = over(
            encoder,
            listed[0] if how == "listed" else (x[:, t] for t in range(source)),
            nothing_yet(),
        )
        states = over(
            decoder,
            listed[1] if how == "listed" else (y[:, t] for t in range(target)),
            seen[-1] if handed_on else nothing_yet(),
        )
        return states[-1]

    return loss


@pytest.mark.parametrize("how", ["listed", "indexed"])
@pytest.mark.parametrize("shapes", [False, True])
def test_a_new_state_begins_a_decoder_of_equal_cells(
    tmp_path: Path, how: str, shapes: bool
) -> None:
    loss = forced(23, 11, how, handed_on=False)
    summary = traced(tmp_path, loss, training=False, record_shapes=shapes)
    assert loops(summary) == {"other": [23, 11]}


def test_inputs_begin_anew_in_a_decoder_of_equal_cells(tmp_path: Path) -> None:
    loss = forced(23, 11, "indexed", handed_on=True)
    summary = traced(tmp_path, loss, training=False, record_shapes=True)
    assert loops(summary) == {"other": [23, 11]}


@pytest.mark.parametrize("decoder", [Plain, Gated, Leaky])
def test_a_loop_that_begins_a_repeat_too_early_is_no_stack_of_layers(
    tmp_path: Path, decoder: Callable[[], Cell]
) -> None:
    loss = encoder_and_decoder(18, 30, Gated() if decoder is Gated else Leaky(), decoder())
    assert loops(traced(tmp_path, loss)) == {"forward": [18, 30], "backward": [18, 30]}


def test_weights_that_autocast_casts_once_are_shared(tmp_path: Path) -> None:
    cells = nn.ModuleList(nn.RNNCell(HIDDEN, HIDDEN) for _ in range(2))

    def loss() -> Tensor:
        states = [nothing_yet(), nothing_yet()]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for y in sequence(20).unbind(1):
                for row, cell in enumerate(cells):
                    y = states[row] = cell(y, states[row])
        return y.float().mean()

    assert loops(traced(tmp_path, loss)) == {"forward": [20], "backward": [20]}


def test_parameters_need_not_fill_a_repeat_that_has_no_others(tmp_path: Path) -> None:
    """A product that takes hardly any time, as on a device that is fast at them."""
    traced(tmp_path, in_sequence(28, [Leaky()]))
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = [e for e in trace["traceEvents"] if e.get("ph") == "X" and "dur" in e]
    for product in [dict(e) for e in events if e["name"] == "aten::linear"]:
        start, stop = product["ts"], product["ts"] + product["dur"]
        for event in events:
            if event["tid"] == product["tid"] and start <= event["ts"] < stop:
                event["ts"] = start + (event["ts"] - start) / 100
                event["dur"] /= 100
    (tmp_path / "fast.json").write_text(json.dumps(trace))
    summary = processor_of(tmp_path / "fast.json")
    assert loops(summary) == {"forward": [28], "backward": [28]}
    assert {one.evidence for one in summary.recurrences} == {"shared parameters"}


def test_layers_are_none_where_only_what_they_share_learns(tmp_path: Path) -> None:
    """As much of a repeat as a cell's product, but others' products are beside it."""
    loss = models.shared_activation(12, frozen=True)
    assert traced(tmp_path, loss).recurrences == ()
