"""``train.step``: a training step of the user's, ``(model, batch) -> loss`` or ``{"loss": …}``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.workloads.batches import Batch
from seqprof.workloads.listeners import PhaseListener
from seqprof.workloads.structures import shape_in_words

#: What a user's step is.
StepFunction = Callable[[nn.Module, Any], Any]


def batch_as_given(batch: Batch) -> Any:
    """Return what the user's function gets: what his data yielded, else a seqprof ``Batch``."""
    return batch.inputs if batch.as_it_came else batch


def read_loss(returned: Any, name: str) -> Tensor:
    """Return the loss in what a user's step returned.

    Raises:
        SeqprofError: there is no scalar loss in it, or nothing can be backpropagated from it.
    """
    loss = returned.get("loss") if isinstance(returned, Mapping) else returned
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise SeqprofError(
            f"train.step: {name} returned {_in_words(returned)}",
            "return the loss, a scalar tensor, or a dict with it as `loss`",
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise SeqprofError(
            f"train.step: the loss that {name} returned depends on no parameter of the model",
            "leave out .item(), .detach() and torch.no_grad(); seqprof calls backward itself, so "
            "the function must not",
        )
    return loss.reshape(())


def _in_words(returned: Any) -> str:
    if isinstance(returned, Mapping) and "loss" in returned:
        return f"`loss` as {shape_in_words(returned['loss'])}"
    return shape_in_words(returned)


@contextmanager
def split_at_model(model: nn.Module, phases: PhaseListener, separable: bool) -> Iterator[None]:
    """Tell ``phases`` where the function leaves the model (loss) and enters it again (forward).

    Args:
        separable: False where hooks would be compiled with the model; then all is forward.
    """
    if not separable:
        yield
        phases.enter("loss")
        return
    depth, in_loss = 0, False

    def enter(_module: nn.Module, _args: Any) -> None:
        nonlocal depth, in_loss
        if depth == 0 and in_loss:
            phases.enter("forward")
            in_loss = False
        depth += 1

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        nonlocal depth, in_loss
        depth -= 1
        if depth == 0:
            phases.enter("loss")
            in_loss = True

    handles = [
        model.register_forward_pre_hook(enter),
        model.register_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not in_loss:
        phases.enter("loss")
