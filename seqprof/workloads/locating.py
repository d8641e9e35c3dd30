"""Where T is in the batches of one model: the evidence is gathered here, each piece guarded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built
from seqprof.workloads.data.evidence import (
    AxisReading,
    ModuleEvidence,
    by_independence,
    default_layout,
    locate,
    narrowed,
    quietly,
    readings,
    watch,
)
from seqprof.workloads.layout import Located
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.structures import shape_in_words

Forward = Callable[[Batch], Any]


def locate_in(built: Built, spec: Spec, first: Batch, forward: Forward) -> Located | None:
    """Find where T is; None where it is ``[B, T]`` by construction.

    Args:
        first: the first batch, on the CPU.
        forward: runs the model on a batch from the CPU.

    Raises:
        SeqprofError: no tensor of the batch can have a time axis.
    """
    if isinstance(built.model, SequenceModel):
        return built.data.facts.located
    own = spec.data.target is not None
    layout = default_layout(first, spec.data.time_dim if own else None)
    if layout is None:
        raise SeqprofError(
            f"data.target: no tensor of a batch has a time axis: {shape_in_words(first.inputs)}",
            "yield sequences as [B, T], [B, T, F] or with time at data.time_dim",
        )
    batch = replace(first, layout=layout)
    readings = _gather(built, batch, forward)
    if not own:
        return _as_built(batch, readings)
    located = locate(batch, readings, spec.data.time_dim)
    assert located is not None
    return located


def _as_built(batch: Batch, readings: list[AxisReading]) -> Located | None:
    """Built-in data are ``[B, T]``; a model that reads them otherwise is worth a word."""
    located = locate(batch, readings, 1)
    if located is None or located.doubt is None:
        return None
    return replace(
        located, layout=batch.layout, words=located.words.replace("data.time_dim", "built-in data")
    )


def _gather(built: Built, batch: Batch, forward: Forward) -> list[AxisReading]:
    """Return all evidence; a model that fails here fails in its first step, and is told there."""
    square = narrowed(batch)
    runs, gathered = None, list[AxisReading]()
    for tried in [*([] if square is None else [square]), batch, *_other_ways(batch)]:
        seen, failed = _watched(built, tried, forward)
        if runs is None and not failed:
            runs = tried
        gathered = list(readings(tried, seen))
        if gathered and not failed:
            break
    if square is not None and runs is not square:
        gathered = []  # T and B are alike: nothing tells them apart
    if gathered and not any(reading.contradicts(gathered[0]) for reading in gathered):
        return gathered
    independent = None
    with suppress(Exception), quietly(built.model):
        independent = _by_independence(built, runs or batch, forward)
    if independent is None:
        return gathered
    return [independent, *(r for r in gathered if r.source == independent.source)]


def _watched(built: Built, batch: Batch, forward: Forward) -> tuple[ModuleEvidence, bool]:
    """Return what was seen of the model on ``batch``, and whether it failed."""
    with suppress(Exception), quietly(built.model):
        return watch(built.model, partial(forward, batch)), False
    return ModuleEvidence(), True


def _other_ways(batch: Batch) -> list[Batch]:
    """Return ``batch`` as it would be read the other way round: a state of size B needs to know."""
    other = default_layout(batch, 0)
    return [] if other is None or other == batch.layout else [replace(batch, layout=other)]


def _by_independence(built: Built, batch: Batch, forward: Forward) -> AxisReading | None:
    model = built.model
    training = [(module, module.training) for module in model.modules()]
    model.eval()  # dropout and batch statistics would mix what does not mix
    try:
        return by_independence(batch, forward)
    finally:
        for module, mode in training:
            module.training = mode
