"""Where T is in a batch of the user's, from what his model does with it.

One forward is run without gradients while it is seen what shapes the modules get that say
themselves where time is (``nn.LSTM(batch_first=…)``), how often others are called, and what comes
out. What contradicts the default ``[B, T]`` is believed; what stays open is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqprof.workloads.batches import Batch
from seqprof.workloads.layout import Layout, Located, other_dim, with_source
from seqprof.workloads.structures import Path, in_words, leaves, map_leaves

#: Modules that read a whole sequence and say by ``batch_first`` where time is in it.
_SAYING = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)


@dataclass(frozen=True, slots=True)
class AxisReading:
    """One piece of evidence: T and B are these dimensions of that tensor.

    Attributes:
        only_batch: it tells B alone; T is what custom makes of the rest.
    """

    source: Path
    time_dim: int
    batch_dim: int | None
    why: str
    only_batch: bool = False

    def contradicts(self, other: AxisReading) -> bool:
        """Whether both cannot be right of the same tensor."""
        if self.source != other.source:
            return False
        if self.only_batch or other.only_batch:
            return self.batch_dim != other.batch_dim
        return self.time_dim != other.time_dim


@dataclass(slots=True)
class ModuleEvidence:
    """What the modules of a model were seen doing in one forward.

    Attributes:
        sequences: T, B and the words for it, of each module that says where time is.
        calls: how often each module was called, and the first dimension of what it got.
        convolved: sizes of what each convolution over time got, time last or third.
    """

    sequences: list[tuple[int, int | None, str]] = field(default_factory=list)
    calls: dict[str, list[int]] = field(default_factory=dict)
    convolved: list[tuple[int, str]] = field(default_factory=list)


def watch(model: nn.Module, forward: Callable[[], object]) -> ModuleEvidence:
    """Run ``forward`` and return what was seen; what it raises is passed on."""
    seen, handles = ModuleEvidence(), []

    def watcher(path: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            values = [*args, *kwargs.values()]
            value = next((v for v in values if isinstance(v, Tensor | PackedSequence)), None)
            _note(seen, path, module, value)

        return enter

    for path, module in model.named_modules():
        if path and not isinstance(module, torch.jit.ScriptModule):  # those take no hooks
            hook = watcher(path)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _note(seen: ModuleEvidence, path: str, module: nn.Module, value: Any) -> None:
    first = value.shape[0] if isinstance(value, Tensor) and value.dim() else 0
    sizes = None
    if isinstance(module, _SAYING) and value is not None:
        sizes = _said_sizes(module, value)
        if sizes is not None and sizes[0] == 1:  # stepped by hand
            first = sizes[1] or 0
    seen.calls.setdefault(path, []).append(first)
    if sizes is not None:
        if sizes[0] > 1:
            name = type(module).__name__
            first_dim = _batch_first(module)
            how = "packed" if first_dim is None else f"batch_first={first_dim}"
            seen.sequences.append((*sizes, f"{name} `{path}` ({how})"))
    elif isinstance(value, Tensor) and isinstance(module, nn.Conv1d | nn.Conv3d):
        rank = 3 if isinstance(module, nn.Conv1d) else 5
        if value.dim() == rank:
            seen.convolved.append((value.shape[2], f"{type(module).__name__} `{path}`"))


def _batch_first(module: nn.Module) -> bool | None:
    inner = getattr(module, "self_attn", module)
    return bool(getattr(inner, "batch_first", False))


def _said_sizes(module: nn.Module, value: Tensor | PackedSequence) -> tuple[int, int | None] | None:
    if isinstance(value, PackedSequence):
        return len(value.batch_sizes), int(value.batch_sizes[0])
    if value.dim() == 2:
        return value.shape[0], None
    if value.dim() != 3:
        return None
    time = 1 if _batch_first(module) else 0
    return value.shape[time], value.shape[1 - time]


# From what was seen to where T is --------------------------------------------------------------


def candidates(batch: Batch) -> list[tuple[Path, Tensor | PackedSequence]]:
    """Return the tensors that can be sequences, likely ones first: the inputs, then the others."""
    inputs = list(leaves(batch.inputs, ("inputs",)))
    ranked = [(path, leaf) for path, leaf in inputs if _rank(leaf) >= 2]
    ranked.sort(key=lambda item: not _is_sequence(item[1]))
    rest = [(path, leaf) for path, leaf in inputs if _rank(leaf) == 1]
    return ranked + rest


def _rank(leaf: Tensor | PackedSequence) -> int:
    return 3 if isinstance(leaf, PackedSequence) else leaf.dim()


def _is_sequence(leaf: Tensor | PackedSequence) -> bool:
    if isinstance(leaf, PackedSequence):
        return True
    return leaf.dim() >= (3 if leaf.is_floating_point() else 2)


def default_layout(batch: Batch, time_dim: int | None = None) -> Layout | None:
    """Return the layout by custom, ``[B, T, …]``, or with T at ``time_dim``; None without any T."""
    for path, leaf in candidates(batch):
        rank = _rank(leaf)
        at = min(1, rank - 1) if time_dim is None else time_dim
        if isinstance(leaf, PackedSequence) or at < rank:
            return with_source(batch.layout, path, at, other_dim(at, rank))
    return None


def readings(batch: Batch, seen: ModuleEvidence) -> Iterator[AxisReading]:
    """Yield all evidence, the strongest first."""
    tensors = [(p, t) for p, t in candidates(batch) if isinstance(t, Tensor)]
    if batch.lengths is not None:
        longest, count = int(batch.lengths.max()), len(batch.lengths)
        why = f"the lengths: {count} sequences, the longest {longest}"
        yield from _with_sizes(tensors, longest, count, why)
    for timesteps, size, words in seen.sequences:
        yield from _with_sizes(tensors, timesteps, size, f"{words} reads {timesteps} timesteps")
    for path, firsts in seen.calls.items():
        if len(firsts) > 1:
            why = f"`{path}` is called {len(firsts)} times"
            size = firsts[0] if len(set(firsts)) == 1 and firsts[0] != len(firsts) else None
            yield from _with_sizes(tensors, len(firsts), size, why, needs_batch=True)
    for timesteps, words in seen.convolved:
        yield from _with_sizes(tensors, timesteps, None, f"{words} runs over {timesteps}")
    targets = batch.targets
    if isinstance(targets, Tensor) and targets.dim() == 1:
        yield from _by_labels(tensors, targets)


def _with_sizes(
    tensors: list[tuple[Path, Tensor]],
    timesteps: int,
    batch_size: int | None,
    why: str,
    needs_batch: bool = False,
) -> Iterator[AxisReading]:
    """Yield a reading for the first tensor in which exactly one dimension is T, another B."""
    for path, tensor in tensors:
        dims = _dims_of(tensor, timesteps, batch_size)
        if dims is not None and not (needs_batch and batch_size is None and tensor.dim() > 2):
            yield AxisReading(path, *dims, why)
            return


def _dims_of(
    tensor: Tensor, timesteps: int, batch_size: int | None
) -> tuple[int, int | None] | None:
    # Batch and time stand before the features, save in [B, C, T].
    times = [d for d, n in enumerate(tensor.shape[:3]) if n == timesteps]
    pairs = []
    for time in times:
        other = other_dim(time, tensor.dim())
        if batch_size is None or (other is not None and tensor.shape[other] == batch_size):
            pairs.append((time, other))
    early = [pair for pair in pairs if pair[0] < 2] or pairs
    return early[0] if len(early) == 1 else None


def _by_labels(tensors: list[tuple[Path, Tensor]], labels: Tensor) -> Iterator[AxisReading]:
    for path, tensor in tensors[:1]:
        batch = [d for d, n in enumerate(tensor.shape[:2]) if n == len(labels)]
        if tensor.dim() >= 2 and len(batch) == 1:
            why = f"{len(labels)} labels, one a sequence"
            yield AxisReading(path, 1 - batch[0], batch[0], why, only_batch=True)


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


def narrowed(batch: Batch) -> Batch | None:
    """Return a square batch with one index less along its first dimension; None if not square.

    Where T and B are equal, what modules see of such a batch tells them apart.
    """
    tensors = [leaf for _, leaf in candidates(batch) if isinstance(leaf, Tensor)]
    first = next((t for t in tensors if t.dim() > 1), None)
    if first is None or first.shape[0] != first.shape[1] or first.shape[0] < 2:
        return None
    size = first.shape[0]

    def one(_path: Path, leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and leaf.dim() and leaf.shape[0] == size:
            return leaf.narrow(0, 0, size - 1)
        return leaf

    inputs, targets = map_leaves(one, batch.inputs), map_leaves(one, batch.targets)
    return replace(batch, inputs=inputs, targets=targets, lengths=None)


def mixes_along(output: Callable[[Tensor], Any], source: Tensor, dim: int) -> bool | None:
    """Whether a change at one index of ``dim`` of the input changes the output at others.

    Along the sequences of a batch it does not, along time a sequence model's does. None where that
    cannot be seen: the output has no such dimension, or does not change at all.
    """
    size = source.shape[dim]
    if size < 2:
        return None
    changed = source.clone()
    changed.select(dim, 0).copy_(source.select(dim, 1))
    before, after = output(source), output(changed)
    pairs = zip(leaves(before), leaves(after), strict=True)
    for (_, a), (_, b) in pairs:
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape):
            continue
        if a.dim() > dim and a.shape[dim] == size:
            differs = (a != b).movedim(dim, 0).flatten(1).any(1)
            if bool(differs.any()):
                return bool(differs[1:].any())
    return None


def by_independence(batch: Batch, output: Callable[[Batch], Any]) -> AxisReading | None:
    """Find the dimension of the sequences: no sequence of a batch may change another.

    Args:
        output: gives what the model returns for a batch, the same for the same batch.
    """
    for place, leaf in candidates(batch)[:1]:
        if not isinstance(leaf, Tensor) or leaf.dim() < 2 or 1 in leaf.shape[:2]:
            return None

        def run(changed: Tensor, place: Path = place) -> Any:
            inputs = map_leaves(
                lambda path, one: changed if path == place else one, batch.inputs, ("inputs",)
            )
            return output(replace(batch, inputs=inputs))

        mixes = [mixes_along(run, leaf, dim) for dim in (0, 1)]
        if mixes in ([False, True], [True, False]):
            time = mixes.index(True)
            why = f"no index of dimension {1 - time} changes the output at another"
            return AxisReading(place, time, 1 - time, why)
    return None


class quietly:  # noqa: N801 - used as a function
    """Context: no gradients, the model not compiled, the CPU's generator as it was afterwards."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        self._compiled = self._model.__dict__.pop("_compiled_call_impl", None)
        self._gradients = torch.no_grad()
        self._gradients.__enter__()

    def __exit__(self, *error: object) -> None:
        self._gradients.__exit__(None, None, None)
        if self._compiled is not None:
            self._model.__dict__["_compiled_call_impl"] = self._compiled
        torch.set_rng_state(self._state)
