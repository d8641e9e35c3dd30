"""Where T and the batch size of a root's calls stand, so that they can be read in every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from seqprof.attach.exploring.discovery import DiscoveredLoop, Group, SubmoduleCalls
from seqprof.attach.exploring.tensors import ReadSize, Shapes, Where, reader

Explored = Sequence[tuple[Group, list[DiscoveredLoop]]]


@dataclass(frozen=True, slots=True)
class Inside:
    """T of a module's call: of its (args, kwargs), or ``returned``, of ((result,), {})."""

    module: nn.Module
    read: ReadSize
    returned: bool


@dataclass(frozen=True, slots=True)
class SizeReader:
    """How the sizes of a root's calls are read; None where they are not known.

    Attributes:
        timesteps, batch: of the root's (args, kwargs).
        inside: where T is that of a call of a module in the root, which calls it once: the root
            itself is given another length, as where a convolution halves it.
        words: where T stands.
    """

    timesteps: ReadSize | None
    batch: ReadSize | None
    inside: Inside | None = None
    words: str = ""


def size_readers(explored: Explored) -> dict[int, SizeReader]:
    """Per root (its ``id``): how its sizes are read.

    A size stands where it stood in every group.
    """
    seen = [(group, loops) for group, loops in explored if group.roots]
    # Of what several roots' calls do together, no argument of one tells T.
    together = {
        group.roots[0]
        for group, loops in seen
        if len(group.roots) > 1 and (not loops or loops[0].over_roots)
    }
    return {
        int(root): _reader_of([one for one in seen if one[0].roots[0] == root], root in together)
        for root in dict.fromkeys(group.roots[0] for group, _ in seen)
    }


def _reader_of(own: Explored, together: bool) -> SizeReader:
    groups = [group for group, _ in own]
    lengths, batches = zip(*(sizes_of(group, loops) for group, loops in own), strict=True)
    arguments = [group.shapes for group in groups]
    batch = _place_of(arguments, batches, avoid=lengths) or _place_of(arguments, batches)
    read_batch = reader(batch) if batch else None
    if together:
        return SizeReader(None, read_batch)
    where = _place_of(arguments, lengths, avoid=batches)
    within = _inside(groups, lengths, batches) if where is None else None
    if within is not None:
        inside, words = within
        return SizeReader(None, read_batch, inside, words)
    for more in (0, -1, 1):  # a loop over all timesteps but the first, or with a start token
        where = where or _place_of(arguments, lengths, avoid=batches, more=more)
    where = where or _place_of(arguments, lengths)
    if where is None:
        return SizeReader(None, read_batch)
    return SizeReader(reader(where), read_batch, words=_words(where))


def _inside(
    groups: Sequence[Group], lengths: Sequence[int | None], batches: Sequence[int | None]
) -> tuple[Inside, str] | None:
    """Where T stands in a call inside the root, and that in words."""
    for returned in (False, True):
        for calls in _called_once(groups):
            shapes = [one.returned if returned else one.given for one in calls]
            first = calls[0]
            where = _place_of(shapes, lengths, avoid=batches)
            if isinstance(first.module, nn.RNNBase) and not returned:
                where = _place_in_layer(first.module, shapes, lengths)
            if where is not None:
                words = _words(where, first.path, returned)
                return Inside(first.module, reader(where), returned), words
    return None


def _place_in_layer(
    layer: nn.RNNBase, shapes: Sequence[Shapes], lengths: Sequence[int | None]
) -> Where | None:
    """Where T stands in what a recurrent layer is given; None where that has no batch."""
    whole, packed = Where((0, 0), 1 if layer.batch_first else 0), Where((0, 0, 1), 0)
    for where, dimensions in ((whole, 3), (packed, 1)):
        inputs = [dict(given).get(where.place, ()) for given in shapes]
        seen = [shape[where.dimension] if len(shape) == dimensions else None for shape in inputs]
        if seen == list(lengths):
            return where
    return None


def _called_once(groups: Sequence[Group]) -> Iterator[list[SubmoduleCalls]]:
    """The modules that each call of a root calls once, each as it was in the groups."""
    for ident in groups[0].calls:
        calls = [group.calls[ident] for group in groups if ident in group.calls]
        roots = [[1] * len(group.roots) for group in groups]
        if [one.by_root for one in calls] == roots:
            yield calls


def sizes_of(group: Group, loops: Sequence[DiscoveredLoop]) -> tuple[int | None, int | None]:
    """T and the batch size of a group, None where one is not known."""
    if loops:
        return loops[0].timesteps, loops[0].batch
    if group.fused:
        _, timesteps, batch = group.fused[0]
        return timesteps, batch
    if group.repeated:
        return group.repeated, None
    return _size_of_embedding(group)


def _size_of_embedding(group: Group) -> tuple[int | None, int | None]:
    """[B, T] of the first integer argument: what token models take."""
    tokens = any(isinstance(calls.module, nn.Embedding) for calls in group.calls.values())
    for _, shape in group.shapes:
        if len(shape) == 2 and tokens:
            return shape[1], shape[0]
    return None, None


def _place_of(
    shapes: Sequence[Shapes],
    sizes: Sequence[int | None],
    avoid: Sequence[int | None] | None = None,
    more: int = 0,
) -> Where | None:
    """Where in a call's arguments the size stands in all groups.

    Args:
        shapes: of the arguments in each group.
        avoid: the other size of each group, which the place is not to have in all of them; None:
            it may.
        more: so much more than what stands there it is.
    """
    seen: Counter[Where] = Counter()
    apart: Counter[Where] = Counter()
    for index, (given, size) in enumerate(zip(shapes, sizes, strict=True)):
        for place, shape in given:
            for dimension, length in enumerate(shape):
                if size is not None and length == size - more:
                    where = Where(place, dimension, more)
                    seen[where] += 1
                    apart[where] += avoid is None or length != avoid[index]
    places = [where for where, count in seen.items() if count == len(sizes) and apart[where]]
    return max(places, key=lambda where: apart[where], default=None)


def _words(where: Where, path: str | None = None, returned: bool = False) -> str:
    whose = "the model's call" if path is None else f"the call of '{path}'"
    side, *keys = where.place
    name = f"argument {keys[0]}" if side == 0 else f"argument '{keys[0]}'"
    inner = "".join(f"[{key!r}]" for key in keys[1:])
    if returned:
        return f"dimension {where.dimension} of what {whose} returned{inner}"
    more = {0: "", 1: ", and one more", -1: ", less one"}[where.more]
    return f"dimension {where.dimension} of {name}{inner} of {whose}{more}"
