"""Where a loop begins and ends, though what lies beside it looks like repeats of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from processor_traces import loops, traced
from recurrent_models import BATCH, HIDDEN, Loss, sequence
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

#: A cell's input and state, which the first timestep may lack → its next state.
Cell = Callable[[Tensor, Tensor | None], Tensor]


class Elman(nn.Module):
    """Two products, one of them from the second timestep on where no state is ``given``."""

    def __init__(self, given: bool = False) -> None:
        super().__init__()
        self.inputs, self.state = (nn.Linear(HIDDEN, HIDDEN) for _ in range(2))
        self.given = given

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        if state is None and self.given:
            state = x.new_zeros(BATCH, HIDDEN)
        return torch.tanh(self.inputs(x) + (0 if state is None else self.state(state)))


class Gated(nn.Module):
    """An LSTM's gates, with its memory ``normed`` or not, or those of a GRU."""

    def __init__(self, gates: int = 4, normed: bool = False) -> None:
        super().__init__()
        self.inputs, self.state = (nn.Linear(HIDDEN, gates * HIDDEN) for _ in range(2))
        self.gates, self.norm = gates, nn.LayerNorm(HIDDEN) if normed else nn.Identity()

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        state = x.new_zeros(BATCH, HIDDEN) if state is None else state
        if self.gates == 3:
            (r, z, n), (u, v, w) = self.inputs(x).chunk(3, -1), self.state(state).chunk(3, -1)
            z = torch.sigmoid(z + v)
            return z * state + (1 - z) * torch.tanh(n + torch.sigmoid(r + u) * w)
        i, f, o, g = (self.inputs(x) + self.state(state)).chunk(4, -1)
        memory = torch.sigmoid(f) * state + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm(memory))


class Product(nn.Module):
    """A product by a parameter that no module has around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(HIDDEN, HIDDEN) / HIDDEN)

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        state = x.new_zeros(BATCH, HIDDEN) if state is None else state
        return torch.tanh(x + state @ self.weight)


class Joined(nn.Module):
    """One product of input and state together."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(2 * HIDDEN, HIDDEN)

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        state = x.new_zeros(BATCH, HIDDEN) if state is None else state
        return torch.relu(self.both(torch.cat([x, state], -1)))


class Given(nn.Module):
    """A cell of torch whose first state is made outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(HIDDEN, HIDDEN)

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        state = x.new_zeros(BATCH, HIDDEN) if state is None else state
        result: Tensor = self.cell(x, state)
        return result


class Attention(nn.Module):
    """A layer of a transformer whose attention is one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out, self.up = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 4 * HIDDEN)
        self.down = nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))
        result: Tensor = x + self.down(nn.functional.gelu(self.up(x)))
        return result


def indexed(x: Tensor) -> Iterable[Tensor]:
    return (x[:, t] for t in range(x.shape[1]))


def chunked(x: Tensor) -> Iterable[Tensor]:
    return (part.squeeze(1) for part in x.chunk(x.shape[1], 1))


def over(cell: Cell, inputs: Iterable[Tensor]) -> list[Tensor]:
    states: list[Tensor] = []
    for x in inputs:
        states.append(cell(x, states[-1] if states else None))
    return states


def stacked(
    inputs: Iterable[Tensor], cells: list[Cell], after: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Cells one behind another in a timestep; ``after`` is what follows each, of input, output."""
    states: list[Tensor | None] = [None] * len(cells)
    for x in inputs:
        for row, cell in enumerate(cells):
            states[row] = output = cell(x, states[row])
            x = after(x, output)
    return x


def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def layers_and_cell(timesteps: int, cell: Cell, cut: Callable[[Tensor], Iterable[Tensor]]) -> Loss:
    """A transformer, then a recurrence over its outputs."""
    model = nn.Sequential(*(Attention() for _ in range(4)))

    def loss() -> Tensor:
        return torch.stack(over(cell, cut(model(sequence(timesteps)))), 1).square().mean()

    return loss


# Cells by names, in inference -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN, nn.LSTM])
@pytest.mark.parametrize("timesteps", [7, 22])
def test_packed_layers_under_autocast(
    tmp_path: Path, kind: Callable[..., nn.RNNBase], timesteps: int
) -> None:
    """In the reverse direction batches grow by a ``cat`` that most timesteps have."""
    model = kind(HIDDEN, HIDDEN, 2, batch_first=True, bidirectional=True)
    lengths = torch.linspace(timesteps, timesteps // 3, BATCH).long()

    def loss() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            packed = pack_padded_sequence(sequence(timesteps), lengths, batch_first=True)
            result: Tensor = model(packed)[0].data.square().mean()
            return result

    summary = traced(tmp_path, loss, training=False, steps=2)
    assert set(loops(summary)["other"]) == {timesteps}
    assert len(loops(summary)["other"]) % 4 == 0


def test_equal_cells_stacked_that_make_their_states(tmp_path: Path) -> None:
    cells: list[Cell] = [Gated(3), Gated(3), Gated(3)]

    def loss() -> Tensor:
        drop = nn.functional.dropout
        return stacked(indexed(sequence(7)), cells, lambda _, y: drop(y, 0.2)).mean()

    assert loops(traced(tmp_path, loss, training=False)) == {"other": [7]}


def test_equal_cells_stacked_with_something_behind_each(tmp_path: Path) -> None:
    cells: list[Cell] = [nn.GRUCell(HIDDEN, HIDDEN) for _ in range(2)]

    def loss() -> Tensor:
        return stacked(sequence(15).unbind(1), cells, add).mean()

    assert loops(traced(tmp_path, loss, training=False)) == {"other": [15]}


def first(x: Tensor) -> Iterable[Tensor]:
    turned = x.transpose(0, 1)
    return (turned[t] for t in range(x.shape[1]))


@pytest.mark.parametrize(("gates", "cut"), [(4, indexed), (3, first)])
def test_timesteps_of_the_next_loop_are_none_of_this_one(
    tmp_path: Path, gates: int, cut: Callable[[Tensor], Iterable[Tensor]]
) -> None:
    """Of two cells with nearly as many operators, or with as many."""
    there, back = Gated(normed=True), Gated(gates)

    def loss() -> Tensor:
        x = sequence(27)
        seen = torch.stack(over(there, cut(x)), 1), torch.stack(over(back, cut(x.flip(1))))
        return seen[0].mean() + seen[1].mean()

    assert loops(traced(tmp_path, loss, training=False)) == {"other": [27, 27]}


def test_slices_tell_the_first_timestep_from_the_end_of_a_transformer(tmp_path: Path) -> None:
    loss = layers_and_cell(7, Elman(given=True), indexed)
    summary = traced(tmp_path, loss, training=False, record_shapes=True)
    assert loops(summary) == {"other": [7]}


def test_loops_of_one_kind_in_several_inferences_are_one_entry(tmp_path: Path) -> None:
    cells: list[Cell] = [nn.GRUCell(HIDDEN, HIDDEN), Gated(normed=True)]

    def loss() -> Tensor:
        inputs: list[Tensor] = list(sequence(33).unbind(1))
        for cell in cells:
            inputs = over(cell, inputs)
        return torch.stack(inputs).mean()

    summary = traced(tmp_path, loss, training=False, steps=3)
    assert [(one.repeats, one.loops) for one in summary.recurrences] == [(33, 3), (33, 3)]


# Parameters, in training ------------------------------------------------------------------------


def test_a_head_in_the_last_repeat_begins_no_other_loop(tmp_path: Path) -> None:
    """Cut where the second timestep's state is multiplied, the last repeat holds the head."""
    elman, head = Elman(), nn.Linear(HIDDEN, HIDDEN)

    def begun_in_vain(x: Tensor, state: Tensor | None) -> Tensor:
        if state is None:
            x.new_zeros(BATCH, HIDDEN)
        result: Tensor = elman(x, state)
        return result

    cells: list[Cell] = [begun_in_vain, Given(), Product()]

    def loss() -> Tensor:
        result: Tensor = head(stacked(indexed(sequence(10)), cells, add)).square().mean()
        return result

    assert loops(traced(tmp_path, loss)) == {"forward": [10], "backward": [10]}


def test_modules_tell_few_timesteps_that_are_cut_inside_of_calls(tmp_path: Path) -> None:
    encoder, decoder = Elman(), nn.RNNCell(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        seen = over(encoder, indexed(sequence(7)))
        return torch.stack(over(decoder, (x + seen[-1] for x in indexed(sequence(7))))).mean()

    summary = traced(tmp_path, loss, with_stack=True)
    assert loops(summary) == {"forward": [7, 7], "backward": [7, 7]}


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("cut", [indexed, chunked])
@pytest.mark.parametrize("timesteps", [11, 25])
def test_the_end_of_a_transformer_is_no_timestep(
    tmp_path: Path, timesteps: int, cut: Callable[[Tensor], Iterable[Tensor]], given: bool
) -> None:
    summary = traced(tmp_path, layers_and_cell(timesteps, Elman(given), cut))
    assert loops(summary) == {"forward": [timesteps], "backward": [timesteps]}


def test_a_decoder_with_a_head_behind_an_encoder_of_equal_cells(tmp_path: Path) -> None:
    """More products in each timestep of the decoder are none that prepare it."""
    encoder, decoder, head = Gated(3), Gated(3), nn.Linear(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen, state = over(encoder, indexed(sequence(27))), None
            outputs = []
            for x in indexed(sequence(27)):
                state = decoder(x, state)
                outputs.append(head(state))
            return torch.stack(outputs).float().mean() + seen[-1].float().mean()

    assert loops(traced(tmp_path, loss)) == {"forward": [27, 27], "backward": [27, 27]}


def test_parameters_of_which_two_repeats_finish_a_part_each(tmp_path: Path) -> None:
    """Few timesteps, cut between the product of the input and that of the state."""
    encoder, decoder, head = Elman(), Elman(), nn.Linear(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        seen = over(encoder, sequence(7).unbind(1))
        state, output, total = torch.zeros_like(seen[-1]), seen[-1], seen[-1].mean()
        for _ in range(12):
            state = decoder(output, state)
            output = head(state)
        return total + output.mean()

    assert loops(traced(tmp_path, loss)) == {"forward": [7, 12], "backward": [7, 12]}


def test_what_makes_a_state_precedes_the_first_timestep(tmp_path: Path) -> None:
    """Of equal places to begin, for the sake of the encoder's last timestep."""
    encoder, decoder = Elman(), Elman()

    def kept(cell: nn.Module) -> Cell:
        return lambda x, state: checkpoint(cell, x, state, use_reentrant=False)

    def loss() -> Tensor:
        seen = over(kept(encoder), chunked(sequence(29)))
        x = sequence(29)
        start = x.new_zeros(BATCH, HIDDEN)
        return torch.stack(over(kept(decoder), (y + seen[-1] + start for y in chunked(x)))).mean()

    assert loops(traced(tmp_path, loss)) == {"forward": [29, 29], "backward": [29, 29]}


# What a trace cannot tell -----------------------------------------------------------------------


def test_loops_that_are_small_one_by_one_are_said_to_repeat(tmp_path: Path) -> None:
    cells = [Product() for _ in range(8)]

    def loss() -> Tensor:
        ends = [over(cell, chunked(sequence(12 + row)))[-1] for row, cell in enumerate(cells)]
        return torch.stack(ends).mean()

    summary = traced(tmp_path, loss, training=False, steps=2)
    assert not summary.recurrences
    (rejected,) = summary.not_recurrent
    assert rejected.undecided
    assert rejected.repeats in range(12, 20)


def test_loops_that_only_their_views_show_are_said_to_repeat(tmp_path: Path) -> None:
    """Without views the rest of the pass hides them."""
    encoder, decoder = Joined(), Joined()

    def loss() -> Tensor:
        memory = torch.stack(over(encoder, sequence(20).unbind(1)), 1)
        out = state = torch.zeros(BATCH, HIDDEN)
        for x in sequence(16).unbind(1):
            scores = torch.softmax(torch.bmm(memory, out.unsqueeze(2)), 1)
            out = state = decoder(x + out + (scores * memory).sum(1), state)
        return out.mean()

    summary = traced(tmp_path, loss, training=False, steps=2)
    assert not summary.recurrences
    (rejected,) = summary.not_recurrent
    assert rejected.undecided
    assert rejected.repeats in (20, 16)


def test_what_repeats_beside_timesteps_is_said(tmp_path: Path) -> None:
    """A cell of gates, and one of which a trace without stacks knows nothing."""
    cells = [Gated(), *(Joined() for _ in range(6))]  # a share that no held-up operator hides

    def loss() -> Tensor:
        ends = [over(cell, sequence(20).unbind(1))[-1] for cell in cells]
        return torch.stack(ends).mean()

    summary = traced(tmp_path, loss, training=False)
    assert loops(summary) == {"other": [20]}
    (rejected,) = summary.not_recurrent
    assert rejected.undecided
    assert rejected.reason.startswith("beside them 20 repeats; timesteps or layers")
