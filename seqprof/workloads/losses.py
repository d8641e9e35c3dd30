"""The losses that seqprof brings, and the one that a model brings itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from seqprof.errors import SeqprofError
from seqprof.workloads.batches import IGNORED, Batch
from seqprof.workloads.layout import find_axes
from seqprof.workloads.structures import children, leaves, shape_in_words

#: Takes what the model returned and the batch, returns a scalar.
Loss: TypeAlias = Callable[[Any, Batch], Tensor]

#: What people call that part of an output which is compared with the targets.
_OUTPUT_NAMES = ("logits", "prediction", "predictions", "preds", "pred", "output", "outputs", "out")
_HINT = "set train.loss: package.module:function(output, targets), or train.step"


def own_loss(output: Any, may_be_unnamed: bool) -> tuple[Tensor, str] | None:
    """Return the loss that the model itself returned, and where it stands; None if it did not.

    Args:
        output: what the model returned.
        may_be_unnamed: whether a scalar without a name is taken for it: the model got the targets,
            or there are none.
    """
    if isinstance(output, Tensor):
        alone = _is_loss(output) and may_be_unnamed
        return (output, "the scalar that the model returns") if alone else None
    named = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(named, Tensor) and _is_loss(named):
        return named, "the `loss` of what the model returns"
    if may_be_unnamed and isinstance(output, (tuple, list)):
        scalars = [index for index, part in enumerate(output) if _is_loss(part)]
        if len(scalars) == 1:
            return output[scalars[0]], f"item {scalars[0]} of what the model returns, a scalar"
    return None


def _is_loss(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()


def pick_output(output: Any, targets: Any) -> Tensor:
    """Return the tensor in ``output`` that is compared with ``targets``.

    The tensor itself; of several the one called logits, prediction, output …; else the first whose
    shape goes with the targets; else the first.

    Raises:
        SeqprofError: there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    for name, part in children(output) or ():
        if str(name).lower() in _OUTPUT_NAMES and isinstance(part, Tensor):
            return part
    tensors = [leaf for _, leaf in leaves(output) if isinstance(leaf, Tensor)]
    if not tensors:
        raise SeqprofError(
            f"the model returned {shape_in_words(output)}, and no tensor is in it", _HINT
        )
    if isinstance(targets, Tensor):
        for tensor in tensors:
            if _scores(tensor, targets) is not None or _same_but_ones(tensor, targets):
                return tensor
    return tensors[0]


class AutoLoss:
    """``train.loss: auto``: the model's own loss where it returns one, else the suited one.

    Attributes:
        gives_targets: whether the model gets the targets.
        words: where the loss is from, once it was computed.
    """

    def __init__(self) -> None:
        self.gives_targets = False
        self.words = "auto"

    def __call__(self, output: Any, batch: Batch) -> Tensor:
        # Without targets there is nothing else to train on than what the model makes of the inputs.
        own = own_loss(output, self.gives_targets or batch.targets is None)
        if own is not None:
            self.words = f"the model's own: {own[1]}"
            return own[0]
        loss = suited_loss(output, batch)
        self.words = "mse" if batch.targets.is_floating_point() else "cross_entropy"
        return loss


def suited_loss(output: Any, batch: Batch) -> Tensor:
    """Cross entropy for integer targets, mean squared error for others."""
    targets = _targets(batch)
    return mse(output, batch) if targets.is_floating_point() else cross_entropy(output, batch)


def _targets(batch: Batch) -> Tensor:
    targets = batch.targets
    if not isinstance(targets, Tensor):
        what = "no targets" if targets is None else f"targets that are {shape_in_words(targets)}"
        raise SeqprofError(f"train.loss: the batches have {what}; no loss of ours fits", _HINT)
    return targets


def cross_entropy(output: Any, batch: Batch) -> Tensor:
    """Mean over the targets that count; 0 where none does (a chunk of a truncated sequence).

    Args:
        output: logits ``[B, T, V]`` or ``[B, V]`` for integer targets ``[B, T]`` or ``[B]``; either
            may be flattened to B·T; also ``[B, V, T]``, as torch has it.
    """
    targets = _targets(batch)
    scores = pick_output(output, targets)
    flat = None if targets.is_floating_point() else _scores(scores, targets)
    if flat is None:
        raise SeqprofError(
            f"cross_entropy: the model's output is {shape_in_words(scores)}, the targets are "
            f"{shape_in_words(targets)}",
            "the output must be [B, T, V] for integer targets [B, T], or [B, V] for [B]; "
            f"or {_HINT}",
        )
    classes = targets.flatten().long()
    total = F.cross_entropy(flat, classes, ignore_index=IGNORED, reduction="sum")
    return total / (classes != IGNORED).sum().clamp(min=1)


def _scores(output: Tensor, targets: Tensor) -> Tensor | None:
    """Return the scores ``[N, V]`` for N targets; None where they do not fit."""
    if not output.is_floating_point() or output.dim() < 2:
        return None
    if targets.shape[-1:] == (1,) and targets.dim() == output.dim():
        targets = targets.squeeze(-1)
    lead = output.shape[:-1]
    flattened = 1 in (len(lead), targets.dim()) and lead.numel() == targets.numel()
    if lead == targets.shape or flattened:
        return output.flatten(0, -2)
    if output.dim() == targets.dim() + 1 and output.shape[:1] + output.shape[2:] == targets.shape:
        return output.movedim(1, -1).flatten(0, -2)
    return None


def _same_but_ones(output: Tensor, targets: Tensor) -> bool:
    """Whether the shapes are the same, or differ in a last dimension of 1 only."""
    a, b = output.shape, targets.shape
    return a == b or (*a, 1) == tuple(b) or tuple(a) == (*b, 1)


def mse(output: Any, batch: Batch) -> Tensor:
    """Mean squared error over all that is not padding.

    Args:
        output: as the targets, ``[B, T, F']`` or ``[B, F']``; a last dimension of 1 may be left out
            of either.
    """
    targets = _targets(batch)
    prediction = pick_output(output, targets)
    if not targets.is_floating_point() or not _same_but_ones(prediction, targets):
        raise SeqprofError(
            f"mse: the model's output is {shape_in_words(prediction)}, the targets are "
            f"{shape_in_words(targets)}",
            f"both must be floating point and of one shape; or {_HINT}",
        )
    squares = (prediction.reshape(targets.shape) - targets.to(prediction.dtype)).square()
    if batch.lengths is None:
        return squares.mean()
    counts = _counted(batch, squares)
    return (squares * counts).sum() / counts.expand_as(squares).sum().clamp(min=1)


def _counted(batch: Batch, squares: Tensor) -> Tensor:
    """Return what broadcasts with ``squares``: 1 where a sequence has not ended, else 0."""
    assert batch.lengths is not None
    ends = batch.lengths.to(squares.device, non_blocking=True)
    if not batch.has_target_per_timestep:
        counts = ends > 0
        shape = [-1, *[1] * (squares.dim() - 1)]
        return counts.view(shape).to(squares.dtype)
    layout, (timesteps, batch_size) = batch.layout, batch.sizes
    time, sequences = layout.time_dim, layout.batch_dim
    if not layout.by_rank:
        axes = find_axes(squares, timesteps, batch_size, layout)
        if axes.flat or not axes.time or axes.batch is None:
            return torch.ones((), dtype=squares.dtype, device=squares.device)
        time, sequences = axes.time[0], axes.batch
    assert sequences is not None
    shape = [1] * squares.dim()
    along = [*shape]
    along[time], shape[sequences] = -1, -1
    steps = torch.arange(timesteps, device=squares.device).view(along)
    return (steps < ends.view(shape)).to(squares.dtype)
