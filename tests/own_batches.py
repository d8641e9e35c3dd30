"""Models and batches as people have them, for ``model.target`` and ``data.target``: one pair each.

``NAME`` is the model, ``NAME_batches`` what it trains on, ``NAME_step`` its ``train.step``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence
from torch.utils.data import DataLoader, IterableDataset


def tokens(*shape: int, below: int = 50) -> Tensor:
    return torch.randint(0, below, shape)


class Tagger(nn.Module):
    """[T, B] tokens or [T, B, F] numbers → [T, B, V], in torch's own layout."""

    def __init__(self, features: int | None = None, outputs: int = 5, first: bool = False) -> None:
        super().__init__()
        self.entry = nn.Embedding(50, 8) if features is None else nn.Linear(features, 8)
        self.rnn = nn.LSTM(8, 16, batch_first=first)
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.rnn(self.entry(x))[0])


# Layouts -----------------------------------------------------------------------------------------


def time_first_batches() -> Iterator[Any]:
    while True:
        yield tokens(21, 4), tokens(21, 4, below=5)


def batch_first_batches() -> Iterator[Any]:
    while True:
        yield tokens(4, 21), tokens(4, 21, below=5)


def square_batches() -> Iterator[Any]:
    while True:
        yield tokens(16, 16), tokens(16, 16, below=5)


def flattened_batches() -> Iterator[Any]:
    while True:
        yield tokens(21, 4), tokens(21 * 4, below=5)


class Flattening(Tagger):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).flatten(0, 1)


class TensorLoop(nn.Module):
    """A recurrence of tensor operations, time first: only its output tells what is time."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(8, 16), nn.Linear(16, 3)
        self.across = nn.Parameter(torch.randn(16, 16) / 8)

    def forward(self, x: Tensor) -> Any:
        h, outputs = x.new_zeros(x.shape[1], 16), []
        for part in self.into(x):
            h = torch.tanh(part + h @ self.across)
            outputs.append(h)
        return self.out(torch.stack(outputs))


def tensor_loop_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(33, 5, 8), tokens(33, 5, below=3)


class Pointwise(nn.Linear):
    """Nothing runs along time, so nothing tells which dimension it is."""

    def __init__(self) -> None:
        super().__init__(8, 3)


class Convolved(nn.Module):
    """[B, C, T, H, W] through a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.Conv2d(7, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        h = x.new_zeros(x.shape[0], 4, 8, 8)
        for t in range(x.shape[2]):
            h = torch.tanh(self.cell(torch.cat((x[:, :, t], h), 1)))
        return self.out(h.mean((2, 3)))


def convolved_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(2, 3, 9, 8, 8), tokens(2, below=5)


class Varying(Tagger):
    def __init__(self) -> None:
        super().__init__(first=True)


def varying_batches() -> Iterator[Any]:
    while True:
        for length in (9, 4, 6):
            yield tokens(3, length), tokens(3, length, below=5)


# Containers --------------------------------------------------------------------------------------


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(8, 16), nn.Linear(16, 3)

    def forward(self, x: PackedSequence) -> Any:
        return self.out(self.rnn(x)[1][0][-1])


def packed_batches() -> Iterator[Any]:
    while True:
        yield pack_sequence([torch.randn(n, 8) for n in (9, 7, 7, 2)]), tokens(4, below=3)


class AskingForLengths(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.rnn = nn.Embedding(50, 8), nn.GRU(8, 16, batch_first=True)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        packed = pack_padded_sequence(self.entry(x), lengths, True, enforce_sorted=False)
        return self.out(self.rnn(packed)[1][0])


LENGTHS = torch.tensor([19, 4, 11, 19, 7])


def lengths_last_batches() -> Iterator[Any]:
    while True:
        yield tokens(5, 19), tokens(5, below=3), LENGTHS


def lengths_inside_batches() -> Iterator[Any]:
    while True:
        yield (tokens(5, 19), LENGTHS), tokens(5, below=3)


def lengths_named_batches() -> Iterator[Any]:
    while True:
        yield {"x": tokens(5, 19), "lengths": LENGTHS, "label": tokens(5, below=3)}


class Sample(NamedTuple):
    x: Tensor
    target: Tensor


def named_tuple_batches() -> Iterator[Any]:
    while True:
        yield Sample(tokens(21, 4), tokens(21, 4, below=5))


@dataclass
class Record:
    x: Tensor
    y: Tensor


def dataclass_batches() -> Iterator[Any]:
    while True:
        yield Record(tokens(21, 4), tokens(21, 4, below=5))


class Static(nn.Module):
    """Several inputs by name, one of them without time."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.static = nn.GRU(3, 8, batch_first=True), nn.Linear(2, 8)
        self.out = nn.Linear(8, 1)

    def forward(self, *, static: Tensor, series: Tensor) -> Any:
        return self.out(self.rnn(series)[0] + self.static(static)[:, None])[:, -1]


def static_batches() -> Iterator[Any]:
    while True:
        yield {
            "static": torch.randn(4, 2),
            "series": torch.randn(4, 30, 3),
            "target": LENGTHS[:4] / 9,
        }


class EncoderDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.out = nn.Embedding(50, 16), nn.Linear(16, 50)
        self.encoder, self.decoder = (nn.GRU(16, 16, batch_first=True) for _ in range(2))

    def forward(self, src: Tensor, tgt: Tensor) -> Any:
        return self.out(self.decoder(self.entry(tgt), self.encoder(self.entry(src))[1])[0])


def encoder_decoder_batches() -> Iterator[Any]:
    while True:
        target = tokens(4, 12)
        yield tokens(4, 19), target[:, :-1], target[:, 1:]


class Double(Tagger):
    """Fails where its numbers are converted."""

    def __init__(self) -> None:
        super().__init__(8, 2, first=True)
        self.double()

    def forward(self, x: Tensor) -> Any:
        assert x.dtype == torch.float64
        return super().forward(x)


def double_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(4, 21, 8).double(), torch.randn(4, 21, 2).double()


class _Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((tokens(13), tokens(13, below=5)) for _ in range(10))


def iterable_batches() -> DataLoader[Any]:
    return DataLoader(_Stream(), batch_size=4)


# A loss of the model's own -----------------------------------------------------------------------


class Output(dict[str, Any]):
    __getattr__ = dict.get


class ByName(Tagger):
    """As libraries have it: labels in, an object with ``.loss`` out."""

    def __init__(self) -> None:
        super().__init__(outputs=50, first=True)

    def forward(self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None) -> Any:
        logits = super().forward(input_ids)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Output(loss=loss, logits=logits)


def by_name_batches() -> Iterator[Any]:
    while True:
        ids = tokens(4, 17)
        yield {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


class LogitsAndLoss(Tagger):
    def __init__(self) -> None:
        super().__init__(outputs=50, first=True)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Any:
        logits = super().forward(idx)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def shifted_batches() -> Iterator[Any]:
    while True:
        ids = tokens(4, 18)
        yield ids[:, :-1], ids[:, 1:]


# A state that goes on ----------------------------------------------------------------------------


class Stateful(nn.Module):
    """[T, B] data, the state in and out, scores flattened; remembers what states it got."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.rnn, self.out = nn.Embedding(50, 8), nn.LSTM(8, 16), nn.Linear(16, 50)
        self.began_at_zero: list[bool] = []

    def init_hidden(self, batch_size: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1, batch_size, 16), torch.zeros(1, batch_size, 16)

    def forward(self, x: Tensor, hidden: tuple[Tensor, Tensor]) -> Any:
        if torch.is_grad_enabled():
            self.began_at_zero.append(not hidden[0].any())
        y, hidden = self.rnn(self.entry(x), hidden)
        return self.out(y).view(-1, 50), hidden


def stateful_batches() -> Iterator[Any]:
    for size in (6, 6, 3):
        yield tokens(70, size), tokens(70 * size)


# train.step --------------------------------------------------------------------------------------


def ctc_batches() -> Iterator[Any]:
    while True:
        yield (
            torch.randn(4, 50, 8),
            tokens(4, 12, below=9) + 1,
            50 - LENGTHS[:4] + 4,
            LENGTHS[:4] // 4,
        )


def ctc_step(model: nn.Module, batch: Any) -> Tensor:
    x, labels, x_lengths, label_lengths = batch
    scores = model(x).log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(scores, labels, x_lengths, label_lengths)


class Forced(nn.Module):
    """Sequence to sequence with teacher forcing, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.encoder = nn.Embedding(50, 16), nn.GRU(16, 16)
        self.cell, self.out = nn.GRUCell(16, 16), nn.Linear(16, 50)

    def forward(self, src: Tensor, trg: Tensor, ratio: float = 0.5) -> Any:
        h, outputs = self.encoder(self.entry(src))[1][0], []
        for t in range(trg.shape[0]):
            h = self.cell(self.entry(trg[t]), h)
            outputs.append(self.out(h))
        return torch.stack(outputs)


def forced_batches() -> Iterator[Any]:
    while True:
        yield tokens(19, 4), tokens(12, 4)


def forced_step(model: nn.Module, batch: Any) -> dict[str, Any]:
    src, trg = batch
    loss = F.cross_entropy(model(src, trg)[1:].flatten(0, 1), trg[1:].flatten())
    return {"loss": loss, "seen": len(trg)}


class Agent(nn.Module):
    """An LSTM stepped by hand, its state reset where an episode begins."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.policy = nn.LSTM(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, state: Any, done: Tensor) -> Any:
        outputs = []
        for part, ended in zip(x, done, strict=True):
            keep = (1 - ended).view(1, -1, 1)
            y, state = self.rnn(part[None], (keep * state[0], keep * state[1]))
            outputs.append(y)
        return self.policy(torch.cat(outputs)), state


def agent_batches() -> Iterator[Any]:
    zeros = torch.zeros(1, 6, 16)
    while True:
        yield {
            "obs": torch.randn(40, 6, 16),
            "done": torch.zeros(40, 6),
            "action": tokens(40, 6, below=4),
            "state": (zeros, zeros),
        }


def agent_step(model: nn.Module, batch: Any) -> Tensor:
    scores, _ = model(batch["obs"], batch["state"], batch["done"])
    return F.cross_entropy(scores.flatten(0, 1), batch["action"].flatten())


# What cannot be told -----------------------------------------------------------------------------


def three_batches() -> Iterator[Any]:
    while True:
        yield torch.randn(4, 30, 3), torch.randn(4, 30, 8), torch.randn(4)


def inputs_alone_batches() -> Iterator[Any]:
    while True:
        yield (tokens(4, 21),)


def words_batches() -> Iterator[Any]:
    yield "a sentence"


def unreduced(output: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), targets.flatten(), reduction="none")


def item_step(model: nn.Module, batch: Any) -> float:
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten()).item()


def detached_step(model: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten()).detach()
