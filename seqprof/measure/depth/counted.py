"""Sequential depth of a model: record its operations on shapes alone, at several T."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from seqprof.analysis.depth.graph import (
    Cost,
    cost,
    critical_path,
    ends_of_steps,
    hidden_scans,
    run_length,
)
from seqprof.analysis.depth.laws import fit_law
from seqprof.analysis.depth.model_depth import DepthPoint, Recorded
from seqprof.analysis.depth.operation_graph import OperationGraph
from seqprof.errors import SeqprofError
from seqprof.instruments.depth import DepthRecorder
from seqprof.measure.depth.subjects import Subject, shapes_on
from seqprof.measure.faults import in_words
from seqprof.workloads.optimizers import make_optimizer
from seqprof.workloads.prefixes import Prefixes

#: Lengths from which the law comes: neighbours, powers of two and others, all short.
LAW_LENGTHS = (4, 5, 6, 8, 12, 16, 17, 24, 32, 64, 128)
#: Multiples where it takes some lengths only.
_LAW_COUNTS = (1, 2, 3, 4, 5, 6, 8, 12, 16)
#: So many of them however short the longest length is.
_FEWEST_COUNTS = 6
#: So many chunks where the model takes its timesteps in chunks: the first may be special.
_CHUNKS = (1, 2, 3, 4, 5, 6)
_TRUNCATED_CHUNKS = 5
#: Recorded lengths after which a law that has held from the first on, and grows, needs no more.
_ENOUGH_LENGTHS = 7
#: The law's own lengths go up to this, even where shorter ones are asked for.
_LONGEST_EXTRA = 32


def law_lengths(subject: Subject, longest: int) -> list[int]:
    """Return the lengths from which the law comes, for figures at up to ``longest``.

    A model that takes chunks is recorded over several, however short ``longest`` is: its law would
    otherwise be one of half a chunk. With truncated BPTT only whole chunks are, as it steps there;
    the longest holds all that is to be known of the others.
    """
    if subject.truncate is not None:
        return [subject.truncate, _TRUNCATED_CHUNKS * subject.truncate]
    lengths = {t for t in LAW_LENGTHS if t <= max(longest, _LONGEST_EXTRA)}
    if subject.chunk is not None:
        lengths |= {count * subject.chunk for count in _CHUNKS}
    return sorted(lengths)


def taken_lengths(subject: Subject, lengths: Sequence[int], longest: int) -> list[int]:
    """Return those of the law's lengths that may be taken, and multiples where the first is not.

    A decoder that makes several frames a call takes multiples of them alone; a head of one length
    takes none.
    """
    with suppress(SeqprofError):
        record(subject, lengths[0])
        return list(lengths)
    prefixes = Prefixes(lambda timesteps: record(subject, timesteps), longest)
    if prefixes.nearest(lengths[0]) is None:
        return []
    of = prefixes.multiples_of
    return sorted(
        {*lengths, *(of * t for t in _LAW_COUNTS if t <= _FEWEST_COUNTS or of * t <= longest)}
    )


def record(subject: Subject, timesteps: int, *, with_optimizer: bool = False) -> OperationGraph:
    """Run one step over ``timesteps``, on meta tensors or real ones, and return its graph.

    Raises:
        SeqprofError: the model cannot run on shapes alone, or so many timesteps.
    """
    recorder = DepthRecorder(subject.device.type, real=subject.real)

    def enter(phase: str) -> None:
        recorder.phase = phase

    _drop_gradients(subject.model)
    try:
        with nullcontext() if subject.real else torch.device("meta"), recorder:
            subject.step(timesteps, enter)
        if with_optimizer:
            optimizer = make_optimizer(subject.optimizer, subject.model)
            enter("optimizer")
            with recorder:
                optimizer.step()
    except SeqprofError:
        raise
    except Exception as error:
        if subject.real:
            raise SeqprofError(f"a step over T = {timesteps}: {in_words(error)}") from error
        raise SeqprofError(
            f"{subject.name}: cannot run on shapes alone at T = {timesteps}: {in_words(error)}",
            hint="depth runs the model on meta tensors, which have no values: leave out .item(), "
            "`if tensor:` and masks that select; inputs of another shape are set in a config",
        ) from error
    finally:
        _drop_gradients(subject.model)
    return recorder.graph


def _drop_gradients(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.is_leaf:  # those of a copy of a TorchScript module are none
            parameter.grad = None


def cost_on(subject: Subject, timesteps: int, device: torch.device) -> Cost:
    """Costs of a step by the operators that ``device`` has, which merge some of the others.

    Recorded on fake tensors of the device: shapes alone, and nothing runs on it.

    Raises:
        Exception: of any kind, where an operator cannot tell its shapes without the device.
    """
    recorder = DepthRecorder(device.type)

    def enter(phase: str) -> None:
        recorder.phase = phase

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with (
        warnings.catch_warnings(),
        fake,
        shapes_on(device, subject.model),
        torch.device(device),
        recorder,
    ):
        warnings.simplefilter("ignore")  # cuDNN asks a fake tensor where it lies
        subject.step(timesteps, enter)
    return cost(recorder.graph)


def points_of(subject: Subject, graph: OperationGraph, timesteps: int) -> dict[int, DepthPoint]:
    """Return the costs of a recorded step, by T.

    With truncated BPTT a step over several chunks begins with the steps over fewer.
    """
    if subject.truncate is None or timesteps % subject.truncate:
        return {timesteps: _point(graph, timesteps, None)}
    ends = ends_of_steps(graph)
    return {
        subject.truncate * count: _point(graph, subject.truncate * count, end)
        for count, end in enumerate(ends, start=1)
    }


def _point(graph: OperationGraph, timesteps: int, until: int | None) -> DepthPoint:
    return DepthPoint(
        timesteps=timesteps,
        step=cost(graph, until=until),
        forward=cost(graph, ("forward",), until),
        backward=cost(graph, ("backward",), until),
    )


def record_lengths(
    subject: Subject,
    lengths: Sequence[int],
    progress: Callable[[float], None],
    device: torch.device | None = None,
) -> tuple[Recorded, OperationGraph]:
    """Record the given lengths and those that the law needs.

    Args:
        device: an accelerator whose own operators are to be recorded as well; None for none.

    Returns:
        What was found, for the longest of ``lengths``, and the graph of the shortest recorded.

    Raises:
        SeqprofError: the model runs neither on shapes alone nor, where it has batches, on these.
    """
    try:
        return _record_lengths(subject, lengths, progress, device)
    except SeqprofError:
        if subject.itself is not None:
            with suppress(SeqprofError):  # the first reason says more
                return _record_lengths(subject.itself, lengths, progress, None)
        raise


def _record_lengths(
    subject: Subject,
    lengths: Sequence[int],
    progress: Callable[[float], None],
    device: torch.device | None,
) -> tuple[Recorded, OperationGraph]:
    longest = max(lengths)
    law = taken_lengths(subject, law_lengths(subject, longest), longest)
    wanted = sorted({*lengths, *law})
    first, shortest = _shortest(subject, wanted, lengths)
    points = points_of(subject, shortest, first)
    graph = shortest
    for done, timesteps in enumerate(reversed(wanted) if subject.truncate else wanted, start=1):
        is_wanted = timesteps in lengths
        if timesteps in points and timesteps != longest:
            continue
        if not is_wanted and is_settled({t: point.step.depth_ops for t, point in points.items()}):
            continue
        try:
            recorded = record(subject, timesteps)
        except SeqprofError:
            if is_wanted:
                raise
            continue  # of such a length there is none
        points |= points_of(subject, recorded, timesteps)
        if timesteps == longest:
            graph = recorded
        progress(done)
    on_device, missing = _on_device(subject, longest, device)
    return (
        Recorded(
            model=subject.name,
            form=subject.form,
            batch_size=subject.batch_size,
            timesteps=longest,
            asked=tuple(sorted(set(lengths))),
            points=tuple(points[t] for t in sorted(points)),
            optimizer=cost(shortest, ("optimizer",)),
            single=_single(subject),
            on_device=on_device,
            hidden_scans=hidden_scans(graph),
            path=run_length([graph.names[n] for n in critical_path(graph)]),
            chunk=subject.chunk,
            real=subject.real,
            notes=(*subject.notes, *_opaque(graph), *_slow_paths(subject), *missing),
        ),
        shortest,
    )


def _shortest(
    subject: Subject, wanted: Sequence[int], lengths: Sequence[int]
) -> tuple[int, OperationGraph]:
    """The first of ``wanted`` that can be recorded, with its optimizer's step.

    Raises:
        SeqprofError: one of ``lengths`` cannot be.
    """
    for timesteps in wanted:
        try:
            return timesteps, record(subject, timesteps, with_optimizer=True)
        except SeqprofError:
            if timesteps in lengths:
                raise
    raise AssertionError("the lengths are among those that are wanted")


def is_settled(depth: Mapping[int, int]) -> bool:
    """Whether the law needs no more lengths: it grows with T itself, and enough lengths obey it.

    What looks constant, or logarithmic, may only begin to grow.
    """
    return len(depth) >= _ENOUGH_LENGTHS and "T" in fit_law(depth).coefficients


def _single(subject: Subject) -> DepthPoint | None:
    try:
        return _point(record(subject, 1), 1, None)
    except SeqprofError:
        return None


def _on_device(
    subject: Subject, timesteps: int, device: torch.device | None
) -> tuple[Cost | None, list[str]]:
    """Costs by the device's own operators, else a note of why they are not known."""
    if device is None:
        return None, []
    try:
        return cost_on(subject, timesteps, device), []
    except Exception as error:  # the rest stands without it
        return None, [f"the operators of {device.type} could not be recorded: {in_words(error)}"]


def _opaque(graph: OperationGraph) -> list[str]:
    """Name the operators of other libraries: one operation each, whatever chain is in it."""
    names = sorted({name for name in graph.names if "::" in name})
    return [f"{', '.join(names)}: one operation each, whatever chain it hides"] if names else []


def _slow_paths(subject: Subject) -> list[str]:
    notes = subject.slow_paths()
    return [f"a slow path was recorded: {' '.join(notes)}"] if notes else []
