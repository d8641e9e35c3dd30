"""The user's own batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import IGNORED, Batch, DataFacts
from seqprof.workloads.data.evidence import default_layout, locate, readings
from seqprof.workloads.data.unpacking import Recipient, UnfitBatchError, unpack
from seqprof.workloads.data.watching import ModuleEvidence
from seqprof.workloads.layout import Layout, Located
from seqprof.workloads.parameters import Parameters
from seqprof.workloads.structures import shape_in_words
from seqprof.workloads.targets import call, load_target

_KEY = "data.target"
_STANDARD = (
    "a built-in model needs (inputs, targets), a dict with these keys, or a seqprof Batch: inputs "
    "[B, T] integers or [B, T, F] floats; targets integers [B, T] or [B], or floats [B, T, F] or "
    "[B, F]; T elsewhere: data.time_dim"
)


class OwnData:
    """Batches of an iterable, or of a function that returns one; begun again when they end.

    A user's model gets them as they are (see ``unpacking.py``). A built-in one needs tensors of
    known form; they are given to it as int64 or float32, ``[B, T, …]``. The number of tokens and of
    classes is known only where the iterable, or the function, has an attribute ``vocabulary`` or
    ``classes``; with a target for every timestep, the first stands for the second. Batches are then
    checked against it.
    """

    def __init__(self, spec: Spec, folder: Path, forward: Parameters | None = None) -> None:
        assert spec.data.target is not None
        self._target, self._folder, self._seed = spec.data.target, folder, spec.train.seed
        self._kwargs = spec.data.kwargs
        self._recipient = Recipient(forward, whole=spec.train.step is not None)
        self._time_dim = spec.data.time_dim
        self._built_in = spec.model.target is None and spec.train.step is None
        self._source = load_target(self._target, folder, _KEY)
        self._vocabulary: int | None = None
        self._classes: int | None = None
        self._located: Located | None = None
        self._layout: Layout | None = None
        torch.manual_seed(self._seed)
        iterable = self._open()
        first = self._to_batch(next(self._started(iterable)), 0)
        self.facts = self._find_facts(iterable, first)
        self._vocabulary, self._classes = self.facts.vocabulary, self.facts.classes

    def __iter__(self) -> Iterator[Batch]:
        torch.manual_seed(self._seed)
        iterable = self._open()
        number = 0
        while True:
            for item in self._started(iterable):
                yield self._to_batch(item, number)
                number += 1
            # A generator cannot be begun again; its function can be called again.
            if iter(iterable) is iterable:
                iterable = self._open()

    def _open(self) -> Iterable[Any]:
        source = self._source
        if callable(source):
            source = call(source, self._target, self._folder, self._kwargs, _KEY)
        if not isinstance(source, Iterable):
            raise SeqprofError(
                f"{_KEY}: {self._target} gives a {type(source).__name__}, which is not iterable",
                "return an iterable of batches, such as a DataLoader or a generator",
            )
        return source

    def _started(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of ``iterable``; an error where there is none at all."""
        empty = True
        iterator = call(lambda: iter(iterable), self._target, self._folder, {}, _KEY)
        while True:
            first = call(lambda: next(iterator, _END), self._target, self._folder, {}, _KEY)
            if first is _END:
                break
            empty = False
            yield first
        if empty:
            again = iter(iterable) is iterable and not callable(self._source)
            raise SeqprofError(
                f"{_KEY}: {self._target} has {'no more' if again else 'no'} batches",
                "name the function that makes it, so that it can be begun again" if again else None,
            )

    def _to_batch(self, item: Any, number: int) -> Batch:
        try:
            batch = unpack(item, self._recipient)
        except UnfitBatchError as unfit:
            problem = f"{_KEY}: batch {number} of {self._target}: {unfit.problem}"
            raise SeqprofError(problem, unfit.hint) from None
        if self._built_in:
            batch = self._standard(batch, number)
        elif not batch.layout.by_rank:
            self._layout = self._layout or default_layout(batch, self._time_dim) or batch.layout
            batch = replace(batch, layout=replace(self._layout, lengths=batch.layout.lengths))
        self._check_range(batch.inputs, self._vocabulary, "inputs", number)
        self._check_range(batch.targets, self._classes, "targets", number)
        return batch

    def _standard(self, batch: Batch, number: int) -> Batch:
        """Return the batch in the one form that a built-in model takes."""
        located = self._located or self._locate(batch)
        self._located = located
        made = None if located is None else standard_batch(batch, located.layout)
        problem = f"inputs are {shape_in_words(batch.inputs)}, targets are "
        problem += shape_in_words(batch.targets)
        if made is not None:
            misfit = find_misfit(made)
            if misfit is None:
                return made
            problem = misfit
        raise SeqprofError(f"{_KEY}: batch {number} of {self._target}: {problem}", _STANDARD)

    def _locate(self, batch: Batch) -> Located | None:
        if batch.layout.by_rank and self._time_dim is None:  # the user's own seqprof Batch
            return Located(batch.layout, "T as a seqprof Batch has it")
        return locate(batch, readings(batch, ModuleEvidence()), self._time_dim)

    def _check_range(self, values: Any, count: int | None, name: str, number: int) -> None:
        if count is None or not isinstance(values, Tensor) or not values.numel():
            return
        if values.is_floating_point() or values.dtype == torch.bool:
            return
        low, high = (int(bound) for bound in torch.aminmax(values))
        # A target that does not count is as low as IGNORED; look again without those.
        if name == "targets" and low == IGNORED:
            low = int(values.masked_fill(values == IGNORED, 0).min())
        if low < 0 or high >= count:
            raise SeqprofError(
                f"{_KEY}: batch {number} of {self._target}: {name} are {low} to {high}, and there "
                f"are {count}: 0 to {count - 1}"
            )

    def _find_facts(self, iterable: Iterable[Any], first: Batch) -> DataFacts:
        vocabulary = features = classes = outputs = None
        inputs, targets = first.inputs, first.targets
        if isinstance(inputs, Tensor) and inputs.is_floating_point():
            features = inputs.shape[-1]
        elif isinstance(inputs, Tensor):
            vocabulary = self._attribute(iterable, "vocabulary")
        if isinstance(targets, Tensor) and targets.is_floating_point():
            outputs = targets.shape[-1] if targets.dim() else 1
        elif isinstance(targets, Tensor):
            classes = self._attribute(iterable, "classes")
            if classes is None and self._built_in and first.has_target_per_timestep:
                classes = vocabulary
        return DataFacts(
            self._target,
            vocabulary=vocabulary,
            features=features,
            classes=classes,
            outputs=outputs,
            per_timestep=first.has_target_per_timestep if self._built_in else True,
            located=self._located,
        )

    def _attribute(self, iterable: Iterable[Any], name: str) -> int | None:
        value = getattr(iterable, name, getattr(self._source, name, None))
        if value is not None and (not isinstance(value, int) or value < 1):
            raise SeqprofError(f"{_KEY}: {self._target} has {name} = {value!r}, not a number ≥ 1")
        return value


_END = object()


def standard_batch(batch: Batch, layout: Layout) -> Batch | None:
    """Return inputs and targets as int64 or float32, ``[B, T, …]``; None if they are no tensors."""
    inputs, targets = (_as_number(part) for part in (batch.inputs, batch.targets))
    if inputs is None or targets is None:
        return None
    if layout.time_dim == 0 and layout.batch_dim == 1:
        inputs = inputs.transpose(0, 1)
        if targets.dim() > 1 and targets.shape[:2] == inputs.shape[1::-1]:
            targets = targets.transpose(0, 1)
    elif (layout.time_dim, layout.batch_dim) == (2, 0):
        inputs = inputs.movedim(2, 1)
    return Batch(inputs, targets, batch.lengths, batch.packed, padding_known=batch.padding_known)


def _as_number(part: Any) -> Tensor | None:
    if not isinstance(part, Tensor) or part.is_complex():
        return None
    return part.float() if part.is_floating_point() else part.long()


def find_misfit(batch: Batch) -> str | None:
    """Say what of a standard batch does not fit, or None."""
    inputs, targets = batch.inputs, batch.targets
    if inputs.dim() != (3 if inputs.is_floating_point() else 2):
        return f"inputs are {shape_in_words(inputs)}"
    if targets.dim() not in ((2, 3) if targets.is_floating_point() else (1, 2)):
        return f"targets are {shape_in_words(targets)}"
    ambiguous = targets.is_floating_point() and targets.dim() == 2
    if ambiguous and targets.shape[1] == batch.timesteps > 1:
        return f"float targets {list(targets.shape)}: for one number per timestep give [B, T, 1]"
    same = 2 if batch.has_target_per_timestep else 1
    if inputs.shape[:same] != targets.shape[:same]:
        return f"inputs {list(inputs.shape)} do not fit targets {list(targets.shape)}"
    if 0 in inputs.shape:
        return f"inputs are empty: {list(inputs.shape)}"
    if batch.lengths is not None and batch.lengths.shape != inputs.shape[:1]:
        return f"lengths are {list(batch.lengths.shape)}"
    return None
