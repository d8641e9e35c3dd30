"""Models that read more than one sequence, or one that does not stand in a padded tensor.

``NAME`` is the model, ``NAME_batches`` what it trains on, ``NAME_step`` its ``train.step``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence


def tokens(*shape: int) -> Tensor:
    return torch.randint(1, 50, shape)


# An encoder and a decoder ------------------------------------------------------------------------


class Translator(nn.Module):
    """The encoder reads packed sources [S, B], the decoder is called once less than [T, B] has."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.encoder = nn.Embedding(50, 8), nn.GRU(8, 8)
        self.decoder, self.out = nn.GRUCell(8, 8), nn.Linear(8, 50)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Any:
        packed = pack_padded_sequence(
            self.entry(source), source_lengths.cpu(), enforce_sorted=False
        )
        state, outputs = self.encoder(packed)[1][0], []
        for token in target[:-1]:
            state = self.decoder(self.entry(token), state)
            outputs.append(self.out(state))
        return torch.stack(outputs)


class Pair:
    """What text iterators yield: an object with a tuple and a tensor."""

    def __init__(self, source: tuple[Tensor, Tensor], target: Tensor) -> None:
        self.source, self.target = source, target


def translator_batches() -> Iterator[Any]:
    while True:
        for sources, targets in ((9, 12), (11, 7), (8, 15)):
            lengths = torch.tensor([sources, 5, 3, 6])
            yield Pair((tokens(sources, 4), lengths), tokens(targets, 4))


def translator_step(model: nn.Module, batch: Pair) -> Tensor:
    scores = model(*batch.source, batch.target)
    return F.cross_entropy(scores.flatten(0, 1), batch.target[1:].flatten())


class Synthesizer(nn.Module):
    """Speech from text: two frames a call of the decoder, and as many gates as calls."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.encoder = nn.Embedding(50, 8), nn.LSTM(8, 8, batch_first=True)
        self.decoder, self.out = nn.LSTMCell(2 * 5 + 8, 8), nn.Linear(8, 10)

    def forward(self, text: Tensor, frames: Tensor) -> Any:
        context = self.encoder(self.entry(text))[0].mean(1)
        h = c = torch.zeros_like(context)
        outputs = []
        for part in frames.reshape(len(frames), -1, 10).unbind(1):
            h, c = self.decoder(torch.cat((part, context), 1), (h, c))
            outputs.append(self.out(h))
        return torch.stack(outputs, 1)


def synthesizer_batches() -> Iterator[Any]:
    while True:
        for calls in (12, 9, 15):  # the first is as long as the text, by coincidence
            yield {
                "text": tokens(3, 12),
                "frames": torch.randn(3, 2 * calls, 5),
                "gates": torch.ones(3, calls),
            }


def synthesizer_step(model: nn.Module, batch: Any) -> dict[str, Tensor]:
    frames = model(batch["text"], batch["frames"])
    return {"loss": (frames.flatten(1) - batch["frames"].flatten(1)).square().mean()}


class Sentences(nn.Module):
    """Words [B, S, W]: one layer reads the words of a sentence, a cell goes over the sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.word = nn.Embedding(50, 8), nn.GRU(8, 8, batch_first=True)
        self.sentence, self.out = nn.GRUCell(8, 8), nn.Linear(8, 4)

    def forward(self, documents: Tensor) -> Any:
        state = torch.zeros(len(documents), 8)
        for words in documents.unbind(1):
            state = self.sentence(self.word(self.entry(words))[1][0], state)
        return self.out(state)


def sentences_batches() -> Iterator[Any]:
    while True:
        yield tokens(3, 6, 9), torch.randint(0, 4, (3,))


# T in the targets, in sizes that vary, or behind another input -----------------------------------


class Field(nn.Module):
    """An ordinary differential equation: four calls for each of T - 1 intervals."""

    def __init__(self) -> None:
        super().__init__()
        self.field = nn.Linear(4, 4)

    def forward(self, start: Tensor, times: Tensor) -> Any:
        states = [start]
        for interval in times.diff():
            state = states[-1]
            for _ in range(4):
                state = state + interval / 4 * torch.tanh(self.field(state))
            states.append(state)
        return torch.stack(states)


def field_batches() -> Iterator[Any]:
    while True:
        states = torch.randn(13, 6, 4)
        yield (states[0], torch.linspace(0, 1, 13)), states


class Copier(nn.Module):
    """Reads [T, B, F], then writes without an input: 2 T - 1 calls, T - 1 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.RNNCell(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        state, outputs = None, []
        for part in x:
            state = self.cell(part, state)
        for _ in x[1:]:
            state = self.cell(torch.zeros_like(x[0]), state)
            outputs.append(state)
        return self.out(torch.stack(outputs))


class Summing(nn.Module):
    """Nothing in it says where time is, and its loss is all that it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Any:
        return self.out(x).square().mean()


def copier_batches() -> Iterator[Any]:
    while True:
        for timesteps in (9, 6, 13):
            yield torch.randn(timesteps, 4, 3), torch.randn(timesteps - 1, 4, 2)


def summing_batches() -> Iterator[Any]:
    for x, _ in copier_batches():
        yield x


class Forecaster(nn.Module):
    """One number for each series stands before the series, and reads [B, T] backwards in words."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.rnn = nn.Embedding(50, 4), nn.LSTM(3 + 4, 8, batch_first=True)
        self.out = nn.Linear(8, 1)

    def forward(self, identity: Tensor, past: Tensor, future: Tensor) -> Any:
        x = torch.cat((past, future), 1)
        known = self.entry(identity).expand(-1, x.shape[1], -1)
        return self.out(self.rnn(torch.cat((x, known), 2))[0]).square().mean()


def forecaster_batches() -> Iterator[Any]:
    while True:
        yield {
            "identity": tokens(5, 1),
            "past": torch.randn(5, 16, 3),
            "future": torch.randn(5, 4, 3),
        }


# Sequences in a list -----------------------------------------------------------------------------


class Padding(nn.Module):
    """Takes a list of tensors [T, F] or of lists of numbers, and pads them itself."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(1, 8), nn.Linear(8, 3)

    def forward(self, sequences: Any) -> Any:
        rows = [torch.as_tensor(row, dtype=torch.float32) for row in sequences]
        x, state = pad_sequence(rows), torch.zeros(len(rows), 8)
        for part in x.reshape(*x.shape[:2], 1):
            state = self.cell(part, state)
        return self.out(state)


def listed_batches() -> Iterator[Any]:
    while True:
        yield [torch.randn(n, 1) for n in (7, 4, 11)], torch.randint(0, 3, (3,))


def numbers_batches() -> Iterator[Any]:
    while True:
        yield [[1.0] * n for n in (7, 4, 11)], torch.randint(0, 3, (3,))


# What a step may do ------------------------------------------------------------------------------


class Lazy(nn.Module):
    """Its head has no weights before the first forward; the targets are flattened by `view`."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.rnn = nn.Embedding(50, 8), nn.GRU(8, 8, batch_first=True)
        self.head = nn.LazyLinear(50)

    def forward(self, x: Tensor, targets: Tensor) -> tuple[Any, Tensor]:
        scores = self.head(self.rnn(self.entry(x))[0])
        return scores, F.cross_entropy(scores.view(-1, 50), targets.view(-1))


def lazy_batches() -> Iterator[Any]:
    while True:
        yield tokens(3, 12), tokens(3, 12)


class Adversaries(nn.Module):
    """The second of its two networks has an optimizer of its own, which the step drives."""

    def __init__(self) -> None:
        super().__init__()
        self.maker, self.shaping = nn.GRU(2, 8, batch_first=True), nn.Linear(8, 2)
        self.judge, self.score = nn.GRU(2, 8, batch_first=True), nn.Linear(8, 1)
        judging = [*self.judge.parameters(), *self.score.parameters()]
        self.own = torch.optim.SGD(judging, 0.1)

    def forward(self, x: Tensor) -> Any:
        return self.score(self.judge(x)[1][0])


def adversaries_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(3, 12, 2)


def adversaries_step(model: Any, batch: Tensor) -> Any:
    made = model.shaping(model.maker(batch)[0])
    model.own.zero_grad()
    (model(made.detach()).mean() - model(batch).mean()).backward()
    model.own.step()
    return -model(made).mean()


# What looks like a loop, and what hides one ------------------------------------------------------


class Shallow(nn.Module):
    """More operations than timesteps, but as many at any length; B changes with T."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.out = nn.Embedding(50, 8), nn.Linear(8, 50)
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        states = self.entry(x)
        for _ in range(3):
            states = self.layer(states)
        return self.out(states)


def shallow_batches() -> Iterator[Any]:
    while True:
        for timesteps in (12, 8, 16):
            yield tokens(48 // timesteps, timesteps), tokens(48 // timesteps, timesteps)


class Scan(nn.Module):
    """A recurrence of tensor operations, two for each timestep."""

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.out = nn.Parameter(torch.rand(1)), nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Any:
        states = [x.new_zeros(len(x), 1)]
        for part in x.unbind(1):
            states.append(states[-1] * self.decay + part)
        return self.out(torch.stack(states[1:], 1))


class Mapped(nn.Module):
    """A loop over the timesteps of one sequence, mapped over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.Linear(2, 1), nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Any:
        return torch.vmap(self.one)(x)

    def one(self, sequence: Tensor) -> Any:
        states = [sequence.new_zeros(1)]
        for part in sequence:
            states.append(torch.tanh(self.cell(torch.cat((part, states[-1])))))
        return self.out(torch.stack(states[1:]))


def scan_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(3, 12, 1), torch.randint(0, 3, (3, 12))
