"""Where T is in a batch of the user's, from what his model does with it.

What contradicts the default ``[B, T]`` is believed; what stays open is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqprof.workloads.batches import Batch
from seqprof.workloads.data.watching import ModuleEvidence
from seqprof.workloads.layout import Layout, Located, other_dim, with_source
from seqprof.workloads.structures import Leaf, Path, in_words, leaves

#: A module that is called less often may do so for another reason than time.
_FEWEST_CALLS = 4
#: An image ``[B, C, H, W]`` or a spectrogram ``[B, 1, F, T]`` has at most so many channels.
_MOST_CHANNELS = 4
#: More timesteps a call are a coincidence.
_MOST_TIMESTEPS = 16


@dataclass(frozen=True, slots=True)
class AxisReading:
    """One piece of evidence: T and B are these dimensions of that tensor.

    Attributes:
        only_batch: it tells B alone; T is what custom makes of the rest.
        kind: what sort of evidence it is, whatever the sizes of a batch.
        says: whether lengths, or a layer that reads whole sequences, say so.
        steps: whether a module is called along this T, with B sequences each time.
        weak: whether it may be a coincidence: nothing against another reading.
    """

    source: Path
    time_dim: int
    batch_dim: int | None
    why: str
    only_batch: bool = False
    kind: str = ""
    says: bool = False
    steps: bool = False
    weak: bool = False

    @property
    def claim(self) -> tuple[Path, int, int | None, str]:
        """What it says of every batch, whatever its sizes."""
        return self.source, self.time_dim, self.batch_dim, self.kind

    def contradicts(self, other: AxisReading) -> bool:
        """Whether both cannot be right of the same tensor."""
        if self.source != other.source or self.weak:
            return False
        if self.only_batch or other.only_batch:
            return self.batch_dim != other.batch_dim
        return self.time_dim != other.time_dim


# What can have a T -------------------------------------------------------------------------------


def candidates(batch: Batch) -> list[tuple[Path, Leaf]]:
    """Return the tensors that can be sequences, likely ones first: the inputs, then the others.

    Where no input has the form of a sequence, targets that have it come first.
    """
    inputs = list(leaves(batch.inputs, ("inputs",)))
    ranked = [(path, leaf) for path, leaf in inputs if _rank(leaf) >= 2]
    ranked.sort(key=lambda item: _unlikeliness(item[1]))
    if not any(_is_sequence(leaf) for _, leaf in ranked):
        targets = leaves(batch.targets, ("targets",))
        ranked[:0] = [(path, leaf) for path, leaf in targets if _rank(leaf) == 3]
    rest = [(path, leaf) for path, leaf in inputs if _rank(leaf) == 1]
    return ranked + rest


def _rank(leaf: Leaf) -> int:
    return 3 if isinstance(leaf, PackedSequence) else leaf.dim()


def _is_sequence(leaf: Leaf) -> bool:
    if isinstance(leaf, PackedSequence):
        return True
    return leaf.dim() >= (3 if leaf.is_floating_point() else 2) and not _is_image(leaf)


def _is_image(leaf: Leaf) -> bool:
    """Whether it has the form ``[B, C, H, W]``."""
    if isinstance(leaf, PackedSequence) or leaf.dim() != 4 or not leaf.is_floating_point():
        return False
    return leaf.shape[1] <= _MOST_CHANNELS < min(leaf.shape[2:])


def _unlikeliness(leaf: Leaf) -> int:
    """Order: sequences, those of one timestep, images, rows of numbers."""
    if not _is_sequence(leaf):
        return 2 if _is_image(leaf) else 3
    return int(isinstance(leaf, Tensor) and leaf.shape[1] == 1)


def default_layout(batch: Batch, time_dim: int | None = None) -> Layout | None:
    """Return the layout by custom, or with T at ``time_dim``; None without any T.

    Custom is ``[B, T, …]``, and of images the width is read as time: ``[B, C, H, T]``.
    """
    for path, leaf in candidates(batch):
        rank = _rank(leaf)
        at = min(1, rank - 1) if time_dim is None else time_dim
        if time_dim is None and _is_image(leaf):
            at = 3
        if isinstance(leaf, PackedSequence) or at < rank:
            return with_source(batch.layout, path, at, other_dim(at, rank))
    return None


def default_source(batch: Batch) -> Leaf:
    """Return the tensor that is the likeliest to have a T."""
    return candidates(batch)[0][1]


# Evidence ----------------------------------------------------------------------------------------


def readings(batch: Batch, seen: ModuleEvidence) -> list[AxisReading]:
    """Return all evidence of one batch; what lengths and layers say comes first."""
    tensors = [(p, t) for p, t in candidates(batch) if isinstance(t, Tensor)]
    saying = [*_by_lengths(batch, tensors), *_by_sequences(tensors, seen)]
    made = [replace(reading, says=True) for reading in saying]
    made += [*_by_calls(tensors, seen), *_by_nearly_as_many_calls(tensors, seen)]
    made += [*_by_convolutions(tensors, seen), *_by_labels(tensors, batch.targets)]
    return [*made, *_by_first_inputs(batch, tensors), *_by_cells(tensors, seen)]


def by_strength(readings: Sequence[AxisReading]) -> list[AxisReading]:
    """Return evidence, the strongest first.

    Where a batch has several sequences, as of an encoder and a decoder, T is of that along which a
    module is called. So it is where what reads a whole sequence is itself called along another.
    """
    first = next((reading for reading in readings if reading.says), None)
    along = [reading for reading in readings if reading.steps]
    if first is not None and any(reading.source == first.source for reading in along):
        along = [reading for reading in along if f"`{reading.kind}`" in first.kind]
    return list(readings) if first is None else [*along, *readings]


_Tensors = Sequence[tuple[Path, Tensor]]


def _by_lengths(batch: Batch, tensors: _Tensors) -> Iterator[AxisReading]:
    if batch.lengths is not None:
        longest, count = int(batch.lengths.max()), len(batch.lengths)
        why = f"the lengths: {count} sequences, the longest {longest}"
        yield from _with_sizes(tensors, longest, count, why, "lengths", first=4)


def _by_sequences(tensors: _Tensors, seen: ModuleEvidence) -> Iterator[AxisReading]:
    for timesteps, size, words in seen.sequences:
        why = f"{words} reads {timesteps} timesteps"
        yield from _with_sizes(tensors, timesteps, size, why, words)


def _by_calls(tensors: _Tensors, seen: ModuleEvidence) -> Iterator[AxisReading]:
    """Yield what is told by a module that is called as often as there are timesteps."""
    for path, shapes in seen.calls.items():
        calls, size = len(shapes), _same_first(shapes)
        if calls > 1:
            why, alike = f"`{path}` is called {calls} times", size == calls
            known = None if alike else size
            few = [(p, t) for p, t in tensors if known is not None or t.dim() < 3]
            for one in _with_sizes(few, calls, known, why, path):
                leaf = dict(tensors)[one.source]
                steps = known is not None and calls >= _FEWEST_CALLS and _is_sequence(leaf)
                yield replace(one, steps=steps, weak=alike or calls < _FEWEST_CALLS)


def _by_nearly_as_many_calls(tensors: _Tensors, seen: ModuleEvidence) -> Iterator[AxisReading]:
    """Yield what is told by a module called once less, once more, or for every second timestep.

    A cell may also make several timesteps a call. What fits the features alone is a coincidence
    where something else fits a dimension before them.
    """
    sequences = [(path, tensor) for path, tensor in tensors if _is_sequence(tensor)]
    for path, shapes in seen.calls.items():
        calls, size = len(shapes), _same_first(shapes)
        if calls < _FEWEST_CALLS or size is None:
            continue
        made = []
        for timesteps, words in _nearly(calls, {len(shape) for shape in shapes} == {2}):
            why = f"`{path}` is called {calls} times, {words} {timesteps} timesteps"
            fitting = _with_sizes(sequences, timesteps, size, why, f"{path} {words}")
            made += [replace(one, steps=True) for one in fitting]
        early = [one for one in made if one.time_dim < 2]
        yield from early or made


def _nearly(calls: int, is_cell: bool) -> Iterator[tuple[int, str]]:
    """Yield timesteps that so many calls may be of, and how many these are to them."""
    yield calls + 1, "once less than"
    yield calls - 1, "once more than"
    yield calls * 2, "once for two of"
    for several in range(3, _MOST_TIMESTEPS + 1) if is_cell else ():
        yield calls * several, f"once for every {several} of"


def _same_first(shapes: Sequence[tuple[int, ...]]) -> int | None:
    """Return the first dimension of what a module got, where it was the same in every call."""
    firsts = {shape[0] if shape else 0 for shape in shapes}
    return firsts.pop() if len(firsts) == 1 else None


def _by_convolutions(tensors: _Tensors, seen: ModuleEvidence) -> Iterator[AxisReading]:
    for timesteps, words in seen.convolved:
        yield from _with_sizes(tensors, timesteps, None, f"{words} runs over {timesteps}", words)


def _with_sizes(
    tensors: _Tensors,
    timesteps: int,
    batch_size: int | None,
    why: str,
    kind: str,
    first: int = 3,
) -> Iterator[AxisReading]:
    """Yield a reading for the first tensor in which exactly one dimension is T, another B."""
    for path, tensor in tensors:
        dims = _dims_of(tensor, timesteps, batch_size, first)
        if dims is not None:
            yield AxisReading(path, *dims, why, kind=kind)
            return


def _dims_of(
    tensor: Tensor, timesteps: int, batch_size: int | None, first: int
) -> tuple[int, int | None] | None:
    # Batch and time stand before the features, save in [B, C, T].
    times = [d for d, n in enumerate(tensor.shape[:first]) if n == timesteps]
    pairs = []
    for time in times:
        other = other_dim(time, tensor.dim())
        if batch_size is None or (other is not None and tensor.shape[other] == batch_size):
            pairs.append((time, other))
    early = [pair for pair in pairs if pair[0] < 2] or pairs
    return early[0] if len(early) == 1 else None


def _by_labels(tensors: _Tensors, labels: Any) -> Iterator[AxisReading]:
    if isinstance(labels, Tensor) and labels.dim() == 1:
        why = f"{len(labels)} labels, one a sequence"
        yield from _by_batch_size(tensors[:1], len(labels), why, "labels")


def _by_cells(tensors: _Tensors, seen: ModuleEvidence) -> Iterator[AxisReading]:
    """Yield what is told by a module that is called again and again with ``[B, F]``."""
    for path, shapes in seen.calls.items():
        size = _same_first(shapes)
        if size and len(shapes) >= _FEWEST_CALLS and {len(shape) for shape in shapes} == {2}:
            why = f"`{path}` is called {len(shapes)} times with {size} rows"
            yield from _by_batch_size(tensors[:1], size, why, f"{path} rows")


def _by_first_inputs(batch: Batch, tensors: _Tensors) -> Iterator[AxisReading]:
    """Yield what is told by inputs ``[B, F]`` of targets that are sequences."""
    for path, tensor in tensors[:1]:
        if path[0] == "targets":
            rows = [t for p, t in tensors if p[0] == "inputs" and t.dim() == 2]
            for size in {len(row) for row in rows} if len({len(r) for r in rows}) == 1 else ():
                why = f"{size} rows of inputs, one a sequence"
                yield from _by_batch_size([(path, tensor)], size, why, "rows")


def _by_batch_size(tensors: _Tensors, size: int, why: str, kind: str) -> Iterator[AxisReading]:
    for path, tensor in tensors:
        batch = [d for d, n in enumerate(tensor.shape[:2]) if n == size]
        if tensor.dim() >= 2 and len(batch) == 1 and not _is_image(tensor):
            yield AxisReading(path, 1 - batch[0], batch[0], why, only_batch=True, kind=kind)


def locate(batch: Batch, readings: list[AxisReading], explicit: int | None) -> Located | None:
    """Decide where T is; None where no tensor can have it.

    Args:
        batch: the first one, in its default layout.
        readings: the evidence, the strongest first.
        explicit: ``data.time_dim``.
    """
    layout = default_layout(batch, explicit)
    if layout is None:
        return None
    if explicit is not None:
        return _explicit(batch, layout, readings)
    if not readings:
        return _assumed(batch, layout)
    best = readings[0]
    layout = with_source(layout, best.source, best.time_dim, best.batch_dim)
    leaf = dict(candidates(batch))[layout.source]
    if best.only_batch and _rank(leaf) > 3:
        return Located(layout, f"{_words(batch, layout)}, B from {best.why}", assumed=True)
    contrary = [r for r in readings[1:] if r.contradicts(best)]
    doubt = f"{contrary[0].why}, which makes {_as_words(batch, contrary[0])}" if contrary else None
    return Located(layout, f"{_words(batch, layout)}, from {best.why}", doubt)


def _explicit(batch: Batch, layout: Layout, readings: list[AxisReading]) -> Located:
    contrary = [r for r in readings if r.source == layout.source and r.time_dim != layout.time_dim]
    agreeing = any(r.source == layout.source and r.time_dim == layout.time_dim for r in readings)
    doubt = None
    if contrary and not agreeing:
        doubt = f"{contrary[0].why}, which makes {_as_words(batch, contrary[0])}"
    return Located(layout, f"{_words(batch, layout)}, from data.time_dim", doubt)


def _assumed(batch: Batch, layout: Layout) -> Located:
    leaf = dict(candidates(batch))[layout.source]
    words = _words(batch, layout)
    if isinstance(leaf, PackedSequence):
        return Located(layout, f"{words}, from the packed sequence")
    if leaf.dim() < 2 or leaf.shape[0] == 1:
        return Located(layout, f"{words}, the only dimension that it can be")
    return Located(layout, f"{words}, by custom", assumed=True)


def _words(batch: Batch, layout: Layout) -> str:
    timesteps, size = _sized(batch, layout)
    return f"T = {timesteps}, B = {size}: {in_words(layout.source)} is {layout.in_words}"


def _as_words(batch: Batch, reading: AxisReading) -> str:
    other = with_source(batch.layout, reading.source, reading.time_dim, reading.batch_dim)
    timesteps, size = _sized(batch, other)
    return f"{in_words(reading.source)} {other.in_words} with T = {timesteps}, B = {size}"


def _sized(batch: Batch, layout: Layout) -> tuple[int, int]:
    return replace(batch, layout=layout).sizes
