"""Made-up tokens: a task that needs memory, and one that needs none."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import IGNORED, Batch, Data, DataFacts
from seqprof.workloads.data.lengths import Lengths, pad, valid_positions
from seqprof.workloads.prediction import effective_head

DEFAULT_VOCABULARY = 64


def open_synthetic(spec: Spec) -> Data:
    """Return the copy task or random tokens.

    Raises:
        SeqprofError: a head that the task cannot serve, or sequences too short to copy anything.
    """
    task, head = spec.data.task or "copy", effective_head(spec)
    if head == "regression" or (task == "copy" and head == "classification"):
        raise SeqprofError(
            f"model.head: {head} does not suit the synthetic task {task!r}",
            "use language_model" + (" or classification" if task == "random" else ""),
        )
    return CopyTask(spec) if task == "copy" else RandomTokens(spec, head == "classification")


class CopyTask:
    """n random tokens, a delimiter (token 0), the same n tokens again; only those count."""

    def __init__(self, spec: Spec) -> None:
        self._spec, self._seed, self._lengths = spec.data, spec.train.seed, Lengths(spec.data)
        self._vocabulary = spec.data.vocabulary or DEFAULT_VOCABULARY
        if spec.data.seq_len < 2:
            raise SeqprofError("data.seq_len: the copy task needs at least 2 timesteps")
        self.facts = DataFacts(
            f"copy task, {self._vocabulary} tokens, {self._lengths.describe()}",
            vocabulary=self._vocabulary,
            classes=self._vocabulary,
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        while True:
            tokens = torch.randint(
                1, self._vocabulary, (batch_size, max(1, timesteps // 2)), generator=generator
            )
            lengths = self._lengths.draw(batch_size, generator)
            ends = torch.full((batch_size,), timesteps) if lengths is None else lengths
            yield pad(_copy(tokens, ends, timesteps), lengths, self._lengths.packed)


def _copy(tokens: Tensor, lengths: Tensor, timesteps: int) -> Batch:
    """Lay out tokens ``[B, T/2]`` as tokens, delimiter, tokens, within ``lengths`` each."""
    copied = lengths.unsqueeze(1) // 2
    position = torch.arange(timesteps + 1).expand(len(tokens), -1)
    source = torch.where(position < copied, position, position - copied - 1)
    sequence = tokens.gather(1, source.clamp(0, tokens.shape[1] - 1))
    sequence = sequence.masked_fill((position == copied) | (position > 2 * copied), 0)
    targets = sequence[:, 1:].masked_fill(position[:, 1:] <= copied, IGNORED)
    return Batch(sequence[:, :-1], targets.masked_fill(position[:, 1:] > 2 * copied, IGNORED))


class RandomTokens:
    """Uniform tokens. Next-token targets cannot be learned; whether most are high can."""

    def __init__(self, spec: Spec, classified: bool) -> None:
        self._spec, self._seed, self._lengths = spec.data, spec.train.seed, Lengths(spec.data)
        self._vocabulary = spec.data.vocabulary or DEFAULT_VOCABULARY
        self._classified = classified
        rule = "whether most are of the upper half" if classified else "next token"
        self.facts = DataFacts(
            f"random tokens ({self._vocabulary}), {rule}, {self._lengths.describe()}",
            vocabulary=self._vocabulary,
            classes=2 if classified else self._vocabulary,
            per_timestep=not classified,
        )

    def __iter__(self) -> Iterator[Batch]:
        generator = Generator().manual_seed(self._seed)
        batch_size, timesteps = self._spec.batch_size, self._spec.seq_len
        while True:
            tokens = torch.randint(
                self._vocabulary, (batch_size, timesteps + 1), generator=generator
            )
            lengths = self._lengths.draw(batch_size, generator)
            inputs, targets = tokens[:, :-1], tokens[:, 1:]
            if self._classified:
                targets = self._majority(inputs, lengths)
            yield pad(Batch(inputs, targets), lengths, self._lengths.packed)

    def _majority(self, tokens: Tensor, lengths: Tensor | None) -> Tensor:
        high = tokens >= self._vocabulary // 2
        if lengths is None:
            return (2 * high.sum(1) > tokens.shape[1]).long()
        high &= valid_positions(tokens.shape[1], lengths)
        return (2 * high.sum(1) > lengths).long()
