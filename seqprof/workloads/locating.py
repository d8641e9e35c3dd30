"""Where T is in the batches of one model: the evidence is gathered here, each piece guarded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built
from seqprof.workloads.data.evidence import (
    AxisReading,
    by_strength,
    default_layout,
    default_source,
    locate,
    readings,
)
from seqprof.workloads.data.probing import by_independence, by_variation, narrowed
from seqprof.workloads.data.unpacking import looks_like_lengths
from seqprof.workloads.data.watching import ModuleEvidence, quietly, watch
from seqprof.workloads.layout import Layout, Located
from seqprof.workloads.ragged import find_ragged
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.structures import Path, in_words, leaves, shape_in_words

Forward = Callable[[Batch], Any]
#: Gives the batches that come after the first, which stay to be trained on.
Upcoming = Callable[[int], "list[Batch]"]
#: Batches after the first that are looked at where the first leaves open what is time.
_FURTHER = 3


def locate_in(
    built: Built, spec: Spec, first: Batch, forward: Forward, upcoming: Upcoming
) -> Located | None:
    """Find where T is; None where it is ``[B, T]`` by construction.

    Args:
        first: the first batch, on the CPU.
        forward: runs the model on a batch from the CPU.
        upcoming: gives so many further batches.

    Raises:
        SeqprofError: no tensor of the batch can have a time axis.
    """
    if isinstance(built.model, SequenceModel):
        return built.data.facts.located
    own = spec.data.target is not None
    ragged = find_ragged(first.inputs, first.targets) if own else None
    if ragged is not None:
        return _in_a_list(first, ragged)
    layout = default_layout(first, spec.data.time_dim if own else None)
    if layout is None and spec.data.time_dim is not None and default_layout(first) is not None:
        raise SeqprofError(
            f"data.time_dim: no tensor of a batch has a dimension {spec.data.time_dim}: "
            f"{shape_in_words(default_source(first))}",
            "dimensions are counted from 0; leave the key out to have T found",
        )
    if layout is None:
        raise SeqprofError(
            f"data.target: no tensor of a batch has a time axis: {shape_in_words(first.inputs)}",
            "yield sequences as [B, T], [B, T, F] or with time at data.time_dim; what has no T, as "
            "a tree, is measured in its own script: seqprof exec -- python train.py",
        )
    batch = replace(first, layout=layout)
    gathering = _Gathering(built, forward, upcoming if own else lambda _count: [])
    gathered = gathering.of(batch)
    if not own:
        return _as_built(batch, gathered)
    located = locate(batch, gathered, spec.data.time_dim)
    assert located is not None
    layout = replace(located.layout, lengths=_lengths_of(batch, located.layout))
    return replace(located, layout=layout)


def _in_a_list(batch: Batch, place: Path) -> Located:
    layout = replace(batch.layout, source=place, time_dim=0, batch_dim=None, ragged=True)
    timesteps, count = replace(batch, layout=layout).sizes
    words = f"{in_words(place)} is a list of {count} sequences, the longest {timesteps}"
    return Located(layout, f"T = {timesteps}, B = {count}: {words}")


def _lengths_of(batch: Batch, layout: Layout) -> Path | None:
    """Return where the lengths are of the sequences that ``layout`` reads T and B of.

    A batch of an encoder and a decoder has two kinds of them.
    """
    timesteps, batch_size = replace(batch, layout=layout).sizes
    if layout.lengths is None:
        return None
    tensors = [
        (p, leaf) for p, leaf in leaves(batch.inputs, ("inputs",)) if isinstance(leaf, Tensor)
    ]
    for path, row in [(layout.lengths, batch.lengths), *tensors]:
        if row is None or not looks_like_lengths(row) or len(row) != batch_size:
            continue
        longest = int(row.max())
        shapes = [tensor.shape[:3] for place, tensor in tensors if place != layout.source]
        elsewhere = any(longest in shape and batch_size in shape for shape in shapes)
        # Sequences may be padded to more than the longest; but then the lengths fit no others.
        padded = path == layout.lengths and longest < timesteps and not elsewhere
        if longest == timesteps or padded:
            return path
    return None


def _as_built(batch: Batch, readings: list[AxisReading]) -> Located | None:
    """Built-in data are ``[B, T]``; a model that reads them otherwise is worth a word."""
    located = locate(batch, readings, 1)
    if located is None or located.doubt is None:
        return None
    return replace(
        located, layout=batch.layout, words=located.words.replace("data.time_dim", "built-in data")
    )


class _Gathering:
    """All evidence of one model; one that fails here fails in its first step, and is told there."""

    def __init__(self, built: Built, forward: Forward, upcoming: Upcoming) -> None:
        self._built, self._forward, self._upcoming = built, forward, upcoming

    def of(self, batch: Batch) -> list[AxisReading]:
        """Return the evidence, the strongest first."""
        gathered, runs = self._of_modules(batch)
        if len({reading.source for reading in gathered}) > 1:
            gathered = self._confirmed(batch, gathered)
        gathered = by_strength(gathered)
        if gathered and not any(reading.contradicts(gathered[0]) for reading in gathered):
            return gathered
        independent = None
        with suppress(Exception), quietly(self._built.model):
            independent = self._by_independence(runs)
        if independent is None and not gathered:
            independent = by_variation([batch, *self._upcoming(_FURTHER)])
        if independent is None:
            return gathered
        return [independent, *(r for r in gathered if r.source == independent.source)]

    def _of_modules(self, batch: Batch) -> tuple[list[AxisReading], Batch]:
        """Return what the modules tell, and a batch that the model takes."""
        square = narrowed(batch)
        runs, gathered = None, list[AxisReading]()
        for tried in [*([] if square is None else [square]), batch, *_other_ways(batch)]:
            seen, failed = self._watched(tried)
            if runs is None and not failed:
                runs = tried
            gathered = readings(tried, seen)
            if gathered and not failed:
                break
        if square is not None and runs is not square:
            gathered = []  # T and B are alike: nothing tells them apart
        return gathered, runs or batch

    def _watched(self, batch: Batch) -> tuple[ModuleEvidence, bool]:
        """Return what was seen of the model on ``batch``, and whether it failed."""
        seen = ModuleEvidence()
        with suppress(Exception), quietly(self._built.model):
            watch(self._built.model, partial(self._forward, batch), seen)
            return seen, False
        return seen, True

    def _confirmed(self, batch: Batch, gathered: list[AxisReading]) -> list[AxisReading]:
        """Leave out what another batch does not show too: sizes can agree by coincidence."""
        for other in self._upcoming(1):
            seen, failed = self._watched(replace(other, layout=batch.layout))
            claims = {reading.claim for reading in readings(other, seen)}
            shown = [reading for reading in gathered if reading.claim in claims]
            if shown and not failed:
                return shown
        return gathered

    def _by_independence(self, batch: Batch) -> AxisReading | None:
        model = self._built.model
        training = [(module, module.training) for module in model.modules()]
        model.eval()  # dropout and batch statistics would mix what does not mix
        try:
            return by_independence(batch, self._forward)
        finally:
            for module, mode in training:
                module.training = mode


def _other_ways(batch: Batch) -> list[Batch]:
    """Return ``batch`` as it would be read the other way round: a state of size B needs to know."""
    other = default_layout(batch, 0)
    return [] if other is None or other == batch.layout else [replace(batch, layout=other)]
