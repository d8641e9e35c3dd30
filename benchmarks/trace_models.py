"""Random models for `trace_loops.py`, each with the loops over timesteps that it has."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

HIDDEN, BATCH, TOKENS = 24, 6, 40
State = Any
Step = tuple[Tensor, Any]
#: Losses, outputs and cells, which torch types as anything.
Loss = Any


class TorchCell(nn.Module):
    """One of torch's cells, or a cell of several functions, with the same call for all."""

    def __init__(self, kind: Callable[[int, int], nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell = kind(HIDDEN, HIDDEN)
        self.has_two = kind is nn.LSTMCell

    def initial(self, like: Tensor) -> State:
        zero = like.new_zeros(like.shape[0], HIDDEN)
        return (zero, zero) if self.has_two else zero

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        state = self.cell(x, state)
        return (state[0] if self.has_two else state), state


class OwnCell(nn.Module):
    """A cell of linear layers and activations; ``begins`` says whether it needs a first state."""

    def __init__(self, kind: str, begins: bool) -> None:
        super().__init__()
        gates = {"lstm": 4, "normed": 4, "gru": 3}.get(kind, 1)
        self.kind, self.begins = kind, begins
        self.inputs, self.state = (
            nn.Linear(HIDDEN, gates * HIDDEN),
            nn.Linear(HIDDEN, gates * HIDDEN),
        )
        self.norm, self.weight = nn.LayerNorm(HIDDEN), nn.Parameter(torch.randn(HIDDEN, HIDDEN) / 5)
        self.joined = nn.Linear(2 * HIDDEN, HIDDEN)

    def initial(self, like: Tensor) -> State:
        zero = like.new_zeros(like.shape[0], HIDDEN)
        if self.kind in ("lstm", "normed"):
            return zero, zero
        return None if self.begins and self.kind == "elman" else zero

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind in ("lstm", "normed"):
            h, c = state
            i, f, o, g = (self.inputs(x) + self.state(h)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm(c) if self.kind == "normed" else c)
            return h, (h, c)
        if self.kind == "gru":
            (r, z, n), (u, v, w) = self.inputs(x).chunk(3, -1), self.state(state).chunk(3, -1)
            z = torch.sigmoid(z + v)
            state = z * state + (1 - z) * torch.tanh(n + torch.sigmoid(r + u) * w)
        elif self.kind == "elman":
            state = torch.tanh(self.inputs(x) + (0 if state is None else self.state(state)))
        elif self.kind == "joined":
            state = torch.relu(self.joined(torch.cat([x, state], -1)))
        elif self.kind == "functional":
            state = torch.tanh(x + state @ self.weight)
        else:  # a minimal gate: a diagonal recurrence
            gate = torch.sigmoid(self.inputs(x))
            state = gate * state + (1 - gate) * x
        return state, state


KINDS = (
    "LSTMCell",
    "GRUCell",
    "RNNCell",
    "lstm",
    "normed",
    "gru",
    "elman",
    "joined",
    "functional",
    "gate",
)


def cell(kind: str, begins: bool = False) -> nn.Module:
    return TorchCell(getattr(nn, kind)) if kind.endswith("Cell") else OwnCell(kind, begins)


@dataclass
class Model:
    """What to run for a loss, its modules, and T of each loop for the lengths that it is given."""

    loss: Callable[[Tensor, Tensor], Tensor]
    modules: nn.ModuleList
    loops: Callable[[int, int], list[int]]
    what: str
    #: Fused calls and samplers: what may be said otherwise.
    may_be_silent: bool = False


Inputs = Callable[[Tensor], list[Tensor]]


def initial(one: nn.Module, like: Tensor) -> State:
    """A cell's state before the first timestep."""
    return cast(Any, one).initial(like)


def slices(way: str, x: Tensor) -> Any:
    """The inputs of the timesteps, [batch, time, hidden], cut when they are asked for."""
    if way == "unbind":
        return x.unbind(1)
    if way == "chunk":
        return (part.squeeze(1) for part in x.chunk(x.shape[1], 1))
    if way == "first":
        turned = x.transpose(0, 1)
        return (turned[t] for t in range(x.shape[1]))
    return (x[:, t] for t in range(x.shape[1]))


class Draw:
    """Draws one model by a seed."""

    def __init__(self, any_of: random.Random) -> None:
        self.random = any_of
        self.choice = any_of.choice
        self.way = self.choice(["unbind", "index", "index", "first", "chunk"])
        self.checkpoints = self.random.random() < 0.15
        self.dropout = self.choice([0.0, 0.0, 0.2])
        self.begins = self.choice([False, True])
        self.head_each = self.choice([False, False, True])

    def model(self) -> Model:
        return cast(Model, getattr(self, self.choice(STRUCTURES))())

    def _cells(self, count: int, equal: bool) -> nn.ModuleList:
        first = self.choice(KINDS)
        kinds = [first if equal else self.choice(KINDS) for _ in range(count)]
        self.kinds = "/".join(kinds)
        return nn.ModuleList(cell(kind, self.begins) for kind in kinds)

    def _call(self, one: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.checkpoints and torch.is_grad_enabled():
            return cast(Step, checkpoint(one, x, state, use_reentrant=False))
        return cast(Step, one(x, state))

    def _over(self, one: nn.Module, inputs: Any, state: State = None) -> tuple[list[Tensor], State]:
        outputs: list[Tensor] = []
        for x in inputs:
            state = initial(one, x) if state is None and not outputs else state
            y, state = self._call(one, x, state)
            outputs.append(y)
        return outputs, state

    def _model(
        self, modules: list[nn.Module], loss: Any, loops: Any, what: str, **more: Any
    ) -> Model:
        extras = [
            word for word, on in (("checkpoint", self.checkpoints), ("head", self.head_each)) if on
        ]
        kinds = f" {self.kinds}" if hasattr(self, "kinds") else ""
        return Model(
            loss, nn.ModuleList(modules), loops, " ".join([what + kinds, self.way, *extras]), **more
        )

    # Recurrences ----------------------------------------------------------------------------

    def stacked(self) -> Model:
        """Cells one after another in a timestep."""
        count = self.choice([1, 1, 2, 2, 3])
        cells, head = self._cells(count, self.choice([True, False])), nn.Linear(HIDDEN, HIDDEN)
        residual = self.choice([False, True]) and count > 1

        def loss(x: Tensor, _: Tensor) -> Loss:
            states: list[State] = [None] * count
            total: Any = 0
            for t, y in enumerate(slices(self.way, x)):
                for row, one in enumerate(cells):
                    state = initial(one, y) if t == 0 else states[row]
                    h, states[row] = self._call(one, y, state)
                    y = y + h if residual else h
                    y = functional.dropout(y, self.dropout) if self.dropout else y
                total = total + head(y).square().mean() if self.head_each else y
            return total if self.head_each else head(total).square().mean()

        return self._model([cells, head], loss, lambda s, _: [s], f"stacked x{count}")

    def sequence(self) -> Model:
        """Layers, each over all timesteps before the next."""
        count = self.choice([2, 2, 3])
        cells, head = self._cells(count, self.choice([True, False])), nn.Linear(HIDDEN, HIDDEN)

        def loss(x: Tensor, _: Tensor) -> Loss:
            inputs: Any = slices(self.way, x)
            for one in cells:
                outputs, _ = self._over(one, inputs)
                inputs = outputs
                if self.dropout:
                    inputs = slices(
                        self.way, functional.dropout(torch.stack(outputs, 1), self.dropout)
                    )
            return head(torch.stack(outputs, 1) if self.head_each else outputs[-1]).square().mean()

        return self._model([cells, head], loss, lambda s, _: [s] * count, f"sequence x{count}")

    def directions(self) -> Model:
        equal = self.choice([True, True, False])
        cells, head = self._cells(2, equal), nn.Linear(2 * HIDDEN, HIDDEN)

        def loss(x: Tensor, _: Tensor) -> Loss:
            there, _ = self._over(cells[0], slices(self.way, x))
            back, _ = self._over(cells[1], slices(self.way, x.flip(1)))
            y = torch.cat([torch.stack(there, 1), torch.stack(back[::-1], 1)], -1)
            return head(y).square().mean()

        return self._model([cells, head], loss, lambda s, _: [s, s], "directions")

    def encoder_decoder(self) -> Model:
        cells = self._cells(2, self.choice([True, True, False]))
        how = self.choice(["forced", "fed back", "attention"])
        head, hand_over = nn.Linear(HIDDEN, HIDDEN), self.choice([True, False])

        def loss(x: Tensor, y: Tensor) -> Loss:
            seen, _ = self._over(cells[0], slices(self.way, x))
            memory, out = torch.stack(seen, 1) if how == "attention" else seen[-1], seen[-1]
            state, outputs = initial(cells[1], out), []
            for target in slices(self.way, y):
                given = out if how == "fed back" else target + out if hand_over else target
                if how == "attention":
                    scores = torch.softmax(torch.bmm(memory, out.unsqueeze(2)), 1)
                    given = given + (scores * memory).sum(1)
                out, state = self._call(cells[1], given, state)
                out = head(out) if how == "fed back" or self.head_each else out
                outputs.append(out)
            return torch.stack(outputs, 1).square().mean() + seen[-1].mean()

        return self._model([cells, head], loss, lambda s, t: [s, t], f"encoder-decoder {how}")

    def sampler(self) -> Model:
        one = self._cells(1, True)[0]
        words, head = nn.Embedding(TOKENS, HIDDEN), nn.Linear(HIDDEN, TOKENS)
        how = self.choice(["multinomial", "argmax"])

        def loss(x: Tensor, _: Tensor) -> Loss:
            token = torch.zeros(BATCH, dtype=torch.long, device=x.device)
            state, total = initial(one, x[:, 0]), torch.zeros((), device=x.device)
            for _t in range(x.shape[1]):
                y, state = self._call(one, words(token), state)
                scores = torch.log_softmax(head(y), -1)
                drawn = (
                    scores.exp().multinomial(1).squeeze(1)
                    if how == "multinomial"
                    else scores.argmax(-1)
                )
                total = total - scores.gather(1, drawn.unsqueeze(1)).mean()
                token = drawn.detach()
            return total

        return self._model([one, words, head], loss, lambda s, _: [s], f"sampler {how}")

    def packed(self) -> Model:
        kind, layers = self.choice([nn.LSTM, nn.GRU, nn.RNN]), self.choice([1, 1, 2])
        both = self.choice([False, True])
        model = kind(HIDDEN, HIDDEN, layers, batch_first=True, bidirectional=both)
        count = layers * (2 if both else 1)

        def loss(x: Tensor, _: Tensor) -> Loss:
            lengths = torch.linspace(x.shape[1], max(x.shape[1] // 3, 1), BATCH).long()
            packed = pack_padded_sequence(x, lengths, batch_first=True)
            return model(packed)[0].data.square().mean()

        what = f"packed {kind.__name__} x{layers}{' both' * both}"
        return self._model([model], loss, lambda s, _: [s] * count, what)

    def fused(self) -> Model:
        kind = self.choice([nn.LSTM, nn.GRU, nn.RNN])
        layers = self.choice([1, 2])
        model, head = kind(HIDDEN, HIDDEN, layers, batch_first=True), nn.Linear(HIDDEN, HIDDEN)

        def loss(x: Tensor, _: Tensor) -> Loss:
            return head(model(x)[0]).square().mean()

        what = f"fused {kind.__name__} x{layers}"
        return self._model([model, head], loss, lambda s, _: [s] * layers, what, may_be_silent=True)

    def conv_lstm(self) -> Model:
        gates = nn.Conv2d(4, 8, 3, padding=1)

        def loss(x: Tensor, _: Tensor) -> Loss:
            frames = x[..., :18].reshape(x.shape[0], x.shape[1], 2, 3, 3)
            hidden = state = frames.new_zeros(x.shape[0], 2, 3, 3)
            for frame in slices(self.way, frames):
                i, f, o, g = gates(torch.cat([frame, hidden], 1)).chunk(4, 1)
                state = torch.sigmoid(f) * state + torch.sigmoid(i) * torch.tanh(g)
                hidden = torch.sigmoid(o) * torch.tanh(state)
            return hidden.square().mean()

        return self._model([gates], loss, lambda s, _: [s], "ConvLSTM")

    # Layers ---------------------------------------------------------------------------------

    def transformer(self) -> Model:
        """Layers with an activation or rotation that all of them share."""
        count = self.choice([4, 6, 9, 12])
        layer = nn.TransformerEncoderLayer(HIDDEN, 4, 2 * HIDDEN, self.dropout, batch_first=True)
        model: nn.Module = nn.TransformerEncoder(layer, count, enable_nested_tensor=False)
        if self.choice([True, False]):
            shared = self.choice([nn.GELU(), nn.PReLU(), nn.Identity()])
            model = nn.Sequential(*(Block(shared) for _ in range(count)))
        frozen = self.choice([0, 0, count // 2])
        parts = list(
            model.children() if isinstance(model, nn.Sequential) else cast(Any, model).layers
        )
        for part in parts[:frozen]:
            part.requires_grad_(False)
        return self._model(
            [model], lambda x, _: model(x).square().mean(), lambda *_: [], f"layers x{count}"
        )

    def convolutions(self) -> Model:
        count = self.choice([5, 8])
        layers = [
            nn.Sequential(
                nn.Conv1d(HIDDEN, HIDDEN, 3, padding=1), nn.BatchNorm1d(HIDDEN), nn.ReLU()
            )
            for _ in range(count)
        ]
        model = nn.Sequential(*layers)
        loss = lambda x, _: model(x.transpose(1, 2)).square().mean()  # noqa: E731
        return self._model([model], loss, lambda *_: [], f"convolutions x{count}")

    def recurrent_then_layers(self) -> Model:
        """A recurrence before or behind a transformer."""
        count, before = self.choice([4, 6]), self.choice([True, False])
        one = self._cells(1, True)[0]
        model = nn.Sequential(*(Block(nn.GELU()) for _ in range(count)))

        def loss(x: Tensor, _: Tensor) -> Loss:
            y = model(x) if before else x
            y = torch.stack(self._over(one, slices(self.way, y))[0], 1)
            return (y if before else model(y)).square().mean()

        return self._model([one, model], loss, lambda s, _: [s], f"cell and layers x{count}")


class Block(nn.Module):
    def __init__(self, shared: nn.Module) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(HIDDEN),
            nn.Linear(HIDDEN, 3 * HIDDEN),
            nn.Linear(HIDDEN, HIDDEN),
        )
        self.up, self.down, self.shared = (
            nn.Linear(HIDDEN, 4 * HIDDEN),
            nn.Linear(4 * HIDDEN, HIDDEN),
            shared,
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v))
        return cast(Tensor, x + self.down(self.shared(self.up(x))))


STRUCTURES = (
    ["stacked"] * 5 + ["sequence"] * 3 + ["directions"] * 3 + ["encoder_decoder"] * 4
    + ["sampler"] * 2 + ["packed"] * 2 + ["fused", "conv_lstm"] + ["transformer"] * 3
    + ["convolutions", "recurrent_then_layers", "recurrent_then_layers"]
)  # fmt: skip
