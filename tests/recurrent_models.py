"""Small models whose number of timesteps, or lack of any, is known by construction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence

HIDDEN, BATCH = 32, 8
Loss = Callable[[], Tensor]


def sequence(timesteps: int) -> Tensor:
    return torch.randn(BATCH, timesteps, HIDDEN)


def nothing_yet() -> Tensor:
    return torch.zeros(BATCH, HIDDEN)


def stacked_cells(timesteps: int, cells: int = 2) -> Loss:
    """Equal cells one after another in a timestep, with nothing between them."""
    layers = nn.ModuleList(nn.LSTMCell(HIDDEN, HIDDEN) for _ in range(cells))

    def loss() -> Tensor:
        states = [(nothing_yet(), nothing_yet()) for _ in layers]
        for hidden in sequence(timesteps).unbind(1):
            for row, cell in enumerate(layers):
                states[row] = cell(hidden, states[row])
                hidden = states[row][0]
        return states[-1][0].mean()

    return loss


def layers_in_sequence(timesteps: int, layers: int = 2) -> Loss:
    """Each layer over the whole sequence before the next, the second backwards in time."""
    cells = nn.ModuleList(nn.GRUCell(HIDDEN, HIDDEN) for _ in range(layers))

    def loss() -> Tensor:
        inputs = list(sequence(timesteps).unbind(1))
        for cell in cells:
            hidden, outputs = nothing_yet(), []
            for x in inputs[::-1]:
                hidden = cell(x, hidden)
                outputs.append(hidden)
            inputs = outputs
        return torch.stack(inputs).mean()

    return loss


class _PausingCell(nn.GRUCell):
    """Once in so many calls Python is held up in it, before its first operator."""

    def __init__(self, every: int, at: int) -> None:
        super().__init__(HIDDEN, HIDDEN)
        self.every, self.at, self.calls = every, at, 0

    def forward(self, x: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.calls % self.every == self.at:
            end = time.perf_counter() + 2e-3
            while time.perf_counter() < end:
                pass
        self.calls += 1
        return super().forward(x, hx)


def held_up(timesteps: int, at: int) -> Loss:
    """A cell of which one call takes many times as long, as when the collector runs in it."""
    cell = _PausingCell(timesteps, at)

    def loss() -> Tensor:
        hidden = nothing_yet()
        for x in sequence(timesteps).unbind(1):
            hidden = cell(x, hidden)
        return hidden.mean()

    return loss


def own_cell(timesteps: int, dropout: float = 0.0) -> Loss:
    """No state in the first timestep; behind the loop a head that looks like one more."""
    inputs, state, head = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
    drop = nn.Dropout(dropout)

    def loss() -> Tensor:
        hidden: Tensor | None = None
        for x in sequence(timesteps).unbind(1):
            recurrent = state(hidden) if hidden is not None else 0
            hidden = drop(torch.tanh(inputs(x) + recurrent))
        result: Tensor = head(torch.tanh(inputs(hidden))).mean()
        return result

    return loss


def loss_per_timestep(timesteps: int) -> Loss:
    cell, head = nn.LSTMCell(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 10)
    target = torch.zeros(BATCH, dtype=torch.long)

    def loss() -> Tensor:
        hidden = state = nothing_yet()
        total = torch.zeros(())
        for x in sequence(timesteps).unbind(1):
            hidden, state = cell(x, (hidden, state))
            total = total + cross_entropy(head(hidden), target)
        return total

    return loss


def encoder_and_decoder(source: int, target: int) -> Loss:
    """Two loops of different lengths, the second with attention."""
    encoder, decoder = nn.LSTMCell(HIDDEN, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        hidden = state = nothing_yet()
        seen = []
        for x in sequence(source).unbind(1):
            hidden, state = encoder(x, (hidden, state))
            seen.append(hidden)
        memory = torch.stack(seen, 1)
        for x in sequence(target).unbind(1):
            weights = torch.softmax(torch.bmm(memory, hidden.unsqueeze(2)), 1)
            hidden, state = decoder(x + (weights * memory).sum(1), (hidden, state))
        return hidden.mean()

    return loss


def detached(timesteps: int, at: int) -> Loss:
    """The state is cut off the graph before timestep ``at``: the backward ends there."""
    cell = nn.GRUCell(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        hidden = nothing_yet()
        for t, x in enumerate(sequence(timesteps).unbind(1)):
            hidden = cell(x, hidden.detach() if t == at else hidden)
        return hidden.mean()

    return loss


def fed_back(source: int, target: int) -> Loss:
    """A decoder of the same cells behind the encoder, which takes its own output as input."""
    encoder, decoder = nn.LSTMCell(HIDDEN, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)
    head = nn.Linear(HIDDEN, HIDDEN)

    def loss() -> Tensor:
        hidden = state = output = nothing_yet()
        for x in sequence(source).unbind(1):
            hidden, state = encoder(x, (hidden, state))
        for _ in range(target):
            hidden, state = decoder(output, (hidden, state))
            output = head(hidden)
        return output.mean()

    return loss


def unfused(kind: Callable[..., nn.RNNBase], timesteps: int, **options: bool | int) -> Loss:
    """A recurrent layer that is no single kernel: its timesteps are operators inside one."""
    model = kind(HIDDEN, HIDDEN, batch_first=True, **options)

    def loss() -> Tensor:
        with torch.backends.mkldnn.flags(enabled=False):
            result: Tensor = model(sequence(timesteps))[0].mean()
        return result

    return loss


def linear_recurrence(timesteps: int) -> Loss:
    """Behind a projection of all inputs, which looks like the end of a timestep."""
    inputs, outputs = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
    decay = nn.Parameter(torch.randn(HIDDEN))

    def loss() -> Tensor:
        hidden, projected, seen = nothing_yet(), inputs(sequence(timesteps)), []
        for t in range(timesteps):
            hidden = torch.sigmoid(decay) * hidden + projected[:, t]
            seen.append(outputs(hidden))
        return torch.stack(seen).mean()

    return loss


def torch_layers(count: int) -> Loss:
    """torch's own layers, cut by the pattern in the middle of an attention."""
    layer = nn.TransformerEncoderLayer(HIDDEN, 4, 2 * HIDDEN, batch_first=True)
    model = nn.TransformerEncoder(layer, count, enable_nested_tensor=False)

    def loss() -> Tensor:
        result: Tensor = model(sequence(20)).mean()
        return result

    return loss


def convolutional_lstm(timesteps: int) -> Loss:
    gates = nn.Conv2d(8, 16, 3, padding=1)

    def loss() -> Tensor:
        hidden = state = torch.zeros(2, 4, 8, 8)
        for frame in torch.randn(timesteps, 2, 4, 8, 8).unbind(0):
            i, f, o, g = gates(torch.cat([frame, hidden], 1)).chunk(4, 1)
            state = torch.sigmoid(f) * state + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(state)
        return hidden.mean()

    return loss


def packed(
    lengths: Sequence[int], kind: Callable[..., nn.RNNBase] = nn.LSTM, **options: bool | int
) -> Loss:
    model = kind(HIDDEN, HIDDEN, batch_first=True, **options)

    def loss() -> Tensor:
        batch = torch.randn(len(lengths), max(lengths), HIDDEN)
        order = {"batch_first": True, "enforce_sorted": False}
        result: Tensor = model(pack_padded_sequence(batch, torch.tensor(lengths), **order))[0].data
        return result.mean()

    return loss


class Halves(nn.Module):
    """A rotary embedding's turn: no parameters, called by all layers."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return torch.cat([-b, a], -1)


class Block(nn.Module):
    """A layer of a transformer."""

    def __init__(self, turn: nn.Module) -> None:
        super().__init__()
        self.turn, self.norm = turn, nn.LayerNorm(HIDDEN)
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.up, self.down = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        weights = torch.softmax(self.turn(q) @ self.turn(k).transpose(-1, -2), -1)
        x = x + self.out(weights @ v)
        result: Tensor = x + self.down(torch.relu(self.up(x)))
        return result


class Layers(nn.Module):
    """Layers that share one parameterless module, or are all the same layer."""

    def __init__(self, count: int, tied: bool = False) -> None:
        super().__init__()
        turn = Halves()
        first = Block(turn)
        self.blocks = nn.ModuleList(first if tied else Block(turn) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def layers(count: int, tied: bool = False, frozen: int = 0) -> Loss:
    """A transformer of which the first layers are ``frozen``, behind a trained prompt."""
    model, prompt = Layers(count, tied), nn.Parameter(torch.randn(1, 4, HIDDEN))
    for block in model.blocks[:frozen]:
        block.requires_grad_(False)

    def loss() -> Tensor:
        x = torch.cat([prompt.expand(BATCH, -1, -1), sequence(6)], 1)
        result: Tensor = model(x).mean()
        return result

    return loss


def shared_activation(count: int, frozen: bool = False) -> Loss:
    """Layers with a learnt activation that all of them share."""
    slope = nn.PReLU()
    weights = nn.ModuleList(
        nn.Linear(HIDDEN, HIDDEN).requires_grad_(not frozen) for _ in range(count)
    )

    def loss() -> Tensor:
        x = sequence(10)
        for weight in weights:
            x = slope(weight(x))
        return x.mean()

    return loss


def one_timestep_of(cells: int) -> Loss:
    stack = nn.ModuleList(nn.LSTMCell(HIDDEN, HIDDEN) for _ in range(cells))

    def loss() -> Tensor:
        hidden = nothing_yet()
        for cell in stack:
            hidden, _ = cell(hidden, (nothing_yet(), nothing_yet()))
        return hidden.mean()

    return loss


def sampled(tokens: int, depth: int) -> Loss:
    """Tokens drawn one by one from a transformer of ``depth`` layers."""
    model, words, head = Layers(depth), nn.Embedding(50, HIDDEN), nn.Linear(HIDDEN, 50)

    def loss() -> Tensor:
        drawn = [torch.zeros(1, dtype=torch.long)]
        for _ in range(tokens):
            scores = head(model(words(torch.stack(drawn, 1)))[:, -1])
            drawn.append(torch.argmax(scores, -1))
        result: Tensor = scores.mean()
        return result

    return loss


def sampled_characters(count: int) -> Loss:
    cell, words, head = nn.LSTMCell(HIDDEN, HIDDEN), nn.Embedding(50, HIDDEN), nn.Linear(HIDDEN, 50)

    def loss() -> Tensor:
        hidden = state = torch.zeros(1, HIDDEN)
        token = torch.zeros(1, dtype=torch.long)
        for _ in range(count):
            hidden, state = cell(words(token), (hidden, state))
            token = torch.multinomial(torch.softmax(head(hidden), -1), 1).squeeze(1)
        return hidden.mean()

    return loss


def denoised(times: int) -> Loss:
    net = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 4, 3, padding=1))

    def loss() -> Tensor:
        image = torch.randn(2, 4, 16, 16)
        for _ in range(times):
            image = image - 0.1 * net(image) + 0.01 * torch.randn_like(image)
        return image.mean()

    return loss


def updated_parameters(count: int) -> Loss:
    parameters = [torch.randn(20, 20) for _ in range(count)]

    def loss() -> Tensor:
        for parameter in parameters:
            parameter.mul_(0.9).add_(parameter, alpha=0.1)
        return parameters[0]

    return loss


def trained_norms(count: int) -> Loss:
    """Frozen layers of which only the norms learn: too little of a layer to fill it."""
    model = Layers(count).requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.requires_grad_(True)
    return lambda: model(sequence(10)).mean()


def compiled_cell(timesteps: int) -> Loss:
    """A cell that is compiled anew in the second timestep, whose state has a gradient."""
    cell = nn.LSTMCell(HIDDEN, HIDDEN)
    compiled = torch.compile(cell, backend="aot_eager")

    def loss() -> Tensor:
        x = sequence(timesteps)
        hidden = state = nothing_yet()
        for t in range(timesteps):
            hidden, state = compiled(x[:, t], (hidden, state))
        return hidden.mean()

    return loss


def compiled_layers(count: int) -> Loss:
    model = Layers(count)
    blocks = [torch.compile(block, backend="aot_eager") for block in model.blocks]

    def loss() -> Tensor:
        x = sequence(10)
        for block in blocks:
            x = block(x)
        return x.mean()

    return loss


def compiled_function(timesteps: int) -> Loss:
    """A recurrence whose compiled code shows neither modules nor operators."""
    weight = nn.Parameter(torch.randn(2 * HIDDEN, HIDDEN) / HIDDEN)
    step = torch.compile(
        lambda x, hidden: torch.tanh(torch.cat([x, hidden], -1) @ weight), backend="aot_eager"
    )

    def loss() -> Tensor:
        x = sequence(timesteps).unbind(1)
        hidden = nothing_yet()
        for t in range(timesteps):
            hidden = step(x[t], hidden)
        return hidden.mean()

    return loss
