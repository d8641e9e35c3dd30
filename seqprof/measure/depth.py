"""Sequential depth of a model: record its operations on shapes alone, at several T."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from seqprof.analysis.depth import (
    OperationGraph,
    cost,
    critical_path,
    ends_of_steps,
    hidden_scans,
    run_length,
)
from seqprof.analysis.laws import fit_law
from seqprof.analysis.model_depth import Point, Recorded
from seqprof.errors import SeqprofError
from seqprof.instruments.depth import DepthRecorder
from seqprof.measure.depth_subjects import Subject
from seqprof.workloads.step import make_optimizer

#: Lengths from which the law comes: neighbours, powers of two and others, all short.
LAW_LENGTHS = (4, 5, 6, 8, 12, 16, 17, 24, 32, 64, 128)
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


def record(subject: Subject, timesteps: int, *, with_optimizer: bool = False) -> OperationGraph:
    """Run one step over ``timesteps`` on meta tensors and return its graph.

    Raises:
        SeqprofError: the model cannot run on shapes alone.
    """
    recorder = DepthRecorder()

    def enter(phase: str) -> None:
        recorder.phase = phase

    subject.model.zero_grad(set_to_none=True)
    try:
        with torch.device("meta"), recorder:
            subject.step(timesteps, enter)
        if with_optimizer:
            optimizer = make_optimizer(subject.optimizer, subject.model)
            enter("optimizer")
            with recorder:
                optimizer.step()
    except SeqprofError:
        raise
    except Exception as error:
        raise SeqprofError(
            f"{subject.name}: cannot run on shapes alone at T = {timesteps}: {_where(error)}"
            f"{type(error).__name__}: {first_line(error)}",
            hint="depth runs the model on meta tensors, which have no values: leave out .item(), "
            "`if tensor:` and masks that select; inputs of another shape are set in a config",
        ) from error
    finally:
        subject.model.zero_grad(set_to_none=True)
    return recorder.graph


def first_line(error: Exception) -> str:
    """Return what an error says, on one line."""
    return (str(error).strip().splitlines() or ["no message"])[0]


def _where(error: Exception) -> str:
    """``file.py:12: `` of the innermost line that is neither torch's nor seqprof's own."""
    own = str(Path(__file__).parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((own, "<")) and "site-packages" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""


def points_of(subject: Subject, graph: OperationGraph, timesteps: int) -> dict[int, Point]:
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


def _point(graph: OperationGraph, timesteps: int, until: int | None) -> Point:
    return Point(
        timesteps=timesteps,
        step=cost(graph, until=until),
        forward=cost(graph, ("forward",), until),
        backward=cost(graph, ("backward",), until),
    )


def record_lengths(
    subject: Subject, lengths: Sequence[int], progress: Callable[[float], None]
) -> tuple[Recorded, OperationGraph]:
    """Record the given lengths and those that the law needs.

    Returns:
        What was found, for the longest of ``lengths``, and the graph of the shortest recorded.
    """
    longest = max(lengths)
    wanted = sorted({*lengths, *law_lengths(subject, longest)})
    shortest = record(subject, wanted[0], with_optimizer=True)
    points = points_of(subject, shortest, wanted[0])
    graph = shortest
    for done, timesteps in enumerate(reversed(wanted) if subject.truncate else wanted, start=1):
        asked = timesteps in lengths
        if timesteps in points and timesteps != longest:
            continue
        if not asked and is_settled({t: point.step.depth_ops for t, point in points.items()}):
            continue
        recorded = record(subject, timesteps)
        points |= points_of(subject, recorded, timesteps)
        if timesteps == longest:
            graph = recorded
        progress(done)
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
            hidden_scans=hidden_scans(graph),
            path=run_length([graph.names[n] for n in critical_path(graph)]),
            chunk=subject.chunk,
            notes=(*subject.notes, *_opaque(graph), *_slow_paths(subject)),
        ),
        shortest,
    )


def is_settled(depth: Mapping[int, int]) -> bool:
    """Whether the law needs no more lengths: it grows with T itself, and enough lengths obey it.

    What looks constant, or logarithmic, may only begin to grow.
    """
    return len(depth) >= _ENOUGH_LENGTHS and "T" in fit_law(depth).coefficients


def _single(subject: Subject) -> Point | None:
    try:
        return _point(record(subject, 1), 1, None)
    except SeqprofError:
        return None


def _opaque(graph: OperationGraph) -> list[str]:
    """Name the operators of other libraries: one operation each, whatever chain is in it."""
    names = sorted({name for name in graph.names if "::" in name})
    return [f"{', '.join(names)}: one operation each, whatever chain it hides"] if names else []


def _slow_paths(subject: Subject) -> list[str]:
    told = subject.slow_paths()
    return [f"a slow path was recorded: {' '.join(told)}"] if told else []
