"""The user's own batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import IGNORED, Batch, DataFacts
from seqprof.workloads.targets import call, load_target

_KEY = "data.target"
_EXPECTED = (
    "give (inputs, targets), a dict with these keys, or a seqprof Batch: inputs [B, T] integers or "
    "[B, T, F] floats; targets integers [B, T] or [B], or floats [B, T, F] or [B, F]"
)


class OwnData:
    """Batches of an iterable, or of a function that returns one; begun again when they end.

    The number of tokens and of classes is known only where the iterable, or the function, has
    an attribute ``vocabulary`` or ``classes``; with a target for every timestep, the first stands
    for the second. Batches are then checked against it.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        assert spec.data.target is not None
        self._target, self._folder, self._seed = spec.data.target, folder, spec.train.seed
        self._kwargs = spec.data.kwargs
        self._source = load_target(self._target, folder, _KEY)
        self._vocabulary: int | None = None
        self._classes: int | None = None
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
            for found in self._started(iterable):
                yield self._to_batch(found, number)
                number += 1
            # A generator cannot be begun again; its function can be called again.
            if iter(iterable) is iterable:
                iterable = self._open()

    def _open(self) -> Iterable[Any]:
        found = self._source
        if callable(found):
            found = call(found, self._target, self._folder, self._kwargs, _KEY)
        if not isinstance(found, Iterable):
            raise SeqprofError(
                f"{_KEY}: {self._target} gives a {type(found).__name__}, which is not iterable",
                "return an iterable of batches, such as a DataLoader or a generator",
            )
        return found

    def _started(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of ``iterable``; an error where there is none at all."""
        empty = True
        iterator = iter(iterable)
        while True:
            found = call(lambda: next(iterator, _END), self._target, self._folder, {}, _KEY)
            if found is _END:
                break
            empty = False
            yield found
        if empty:
            again = iter(iterable) is iterable and not callable(self._source)
            raise SeqprofError(
                f"{_KEY}: {self._target} has {'no more' if again else 'no'} batches",
                "name the function that makes it, so that it can be begun again" if again else None,
            )

    def _to_batch(self, found: Any, number: int) -> Batch:
        batch = _as_batch(found)
        problem = "it is a " + type(found).__name__ if batch is None else _misfit(batch)
        if batch is None or problem is not None:
            raise SeqprofError(f"{_KEY}: batch {number} of {self._target}: {problem}", _EXPECTED)
        self._check_range(batch.inputs, self._vocabulary, "inputs", number)
        self._check_range(batch.targets, self._classes, "targets", number)
        return batch

    def _check_range(self, values: Tensor, count: int | None, name: str, number: int) -> None:
        if count is None or values.is_floating_point():
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
        if first.inputs.is_floating_point():
            features = first.inputs.shape[-1]
        else:
            vocabulary = self._attribute(iterable, "vocabulary")
        if first.targets.is_floating_point():
            outputs = first.targets.shape[-1]
        else:
            classes = self._attribute(iterable, "classes")
            if classes is None and first.has_target_per_timestep:
                classes = vocabulary
        return DataFacts(
            f"{self._target} (first batch: {first.batch_size} sequences, T = {first.timesteps})",
            vocabulary=vocabulary,
            features=features,
            classes=classes,
            outputs=outputs,
            per_timestep=first.has_target_per_timestep,
        )

    def _attribute(self, iterable: Iterable[Any], name: str) -> int | None:
        value = getattr(iterable, name, getattr(self._source, name, None))
        if value is not None and (not isinstance(value, int) or value < 1):
            raise SeqprofError(f"{_KEY}: {self._target} has {name} = {value!r}, not a number ≥ 1")
        return value


_END = object()


def _as_batch(found: Any) -> Batch | None:
    lengths, packed = None, False
    if isinstance(found, Batch):
        lengths, packed = found.lengths, found.packed
        found = (found.inputs, found.targets)
    elif isinstance(found, Mapping) and {"inputs", "targets"} <= found.keys():
        found = (found["inputs"], found["targets"])
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        return None
    inputs, targets = (_as_tensor(part) for part in found)
    return None if inputs is None or targets is None else Batch(inputs, targets, lengths, packed)


def _as_tensor(found: Any) -> Tensor | None:
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if not isinstance(found, Tensor) or found.is_complex():
        return None
    return found.float() if found.is_floating_point() else found.long()


def _misfit(batch: Batch) -> str | None:
    """Say what does not fit, or None."""
    inputs, targets = batch.inputs, batch.targets
    if inputs.dim() != (3 if inputs.is_floating_point() else 2):
        return f"inputs are {inputs.dtype} {list(inputs.shape)}"
    if targets.dim() not in ((2, 3) if targets.is_floating_point() else (1, 2)):
        return f"targets are {targets.dtype} {list(targets.shape)}"
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
