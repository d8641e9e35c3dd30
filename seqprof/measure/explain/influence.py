"""Which outputs change when the input of a single timestep does, and where gradients reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.analysis.explain.facts import Effect, Influence
from seqprof.errors import SeqprofError
from seqprof.measure.faults import reason_of
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import build
from seqprof.workloads.calling import plan_call
from seqprof.workloads.losses import pick_output
from seqprof.workloads.step import TrainingStep

#: Timesteps of the trial. An untrained gate forgets about half in each: after 13 a change is still
#: far above the resolution of float64. A prime, so that no other axis is taken for that of time.
TIMESTEPS = 13
#: Of the largest output: a change below this is rounding.
RESOLUTION = 1e-12


def try_influence(spec: Spec, folder: Path) -> Influence:
    """Change the input of the first, a middle and the last timestep, each alone.

    Never raises for what the model does: the reason is in the result.
    """
    try:
        return _try(spec, folder)
    except Exception as error:
        return Influence(timesteps=0, reason=reason_of(error))


def _try(spec: Spec, folder: Path) -> Influence:
    built = build(spec, folder)
    step = TrainingStep(built, spec, torch.device("cpu"))
    batch = step.next_batch()
    timesteps = min(TIMESTEPS, batch.timesteps)
    if timesteps < 3:
        raise SeqprofError("its sequences have fewer than 3 timesteps")
    batch = batch.prefix(timesteps)
    inputs = batch.inputs
    if not isinstance(inputs, Tensor) or inputs.dim() < 2:
        raise SeqprofError("its input is not one tensor, so no single timestep of it is changed")
    time = _axis_of_time(inputs, batch)
    model = built.model.double().eval()
    call = plan_call(model, spec.train, batch).call

    def output(values: Tensor) -> Tensor:
        return _output(call, batch, values)

    values = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        before = output(values)
        axis = _axis_of_output(before, timesteps)
        effects = tuple(
            Effect(
                timestep=t,
                changed=_changed(before, output(_with_other(values, time, t)), axis),
            )
            for t in (0, timesteps // 2, timesteps - 1)
        )
    other = _with_other(values, time, 0)
    reaches, reason = _try_gradient(model, output, values, axis, timesteps, other)
    return Influence(
        timesteps=timesteps, effects=effects, gradient_reaches=reaches, gradient_reason=reason
    )


def _output(call: Any, batch: Batch, values: Tensor) -> Tensor:
    return pick_output(call(replace(batch, inputs=values), None), batch.targets)


def _axis_of_time(inputs: Tensor, batch: Batch) -> int:
    """Tell the axis: the one along which a shorter prefix is shorter."""
    shorter = batch.prefix(batch.timesteps - 1).inputs
    axes = [d for d in range(inputs.dim()) if shorter.shape[d] != inputs.shape[d]]
    if len(axes) != 1:
        raise SeqprofError("which axis of its input is time is not known")
    return axes[0]


def _axis_of_output(output: Tensor, timesteps: int) -> int:
    axes = [d for d, size in enumerate(output.shape) if size == timesteps]
    if not axes:
        raise SeqprofError(
            f"its output, {list(output.shape)}, has no axis of T = {timesteps} timesteps"
        )
    return 1 if 1 in axes else axes[0]


def _with_other(values: Tensor, axis: int, timestep: int) -> Tensor:
    """Another number, or another token that occurs in the batch, at one timestep."""
    changed = values.clone()
    at = changed.select(axis, timestep)
    if values.is_floating_point():
        at.add_(1.0)
    else:
        at.copy_(torch.where(at == values.max(), values.min(), values.max()))
    return changed


def _changed(before: Tensor, after: Tensor, axis: int) -> tuple[int, ...]:
    difference = (after - before).abs().movedim(axis, 0).flatten(1).amax(dim=1)
    moved = difference > RESOLUTION * before.abs().max()
    return tuple(int(t) for t in moved.nonzero().flatten())


# Gradients ------------------------------------------------------------------------------------


def _try_gradient(
    model: nn.Module,
    output: Callable[[Tensor], Tensor],
    values: Tensor,
    axis: int,
    timesteps: int,
    other: Tensor,
) -> tuple[tuple[int, ...] | None, str | None]:
    """Send the gradient of the last output back to where timesteps are numbers first.

    Args:
        other: the same values but for the first timestep.
    """
    try:
        return _reached(model, output, values, axis, timesteps, other), None
    except Exception as error:  # whatever the model does
        return None, reason_of(error)


def _reached(
    model: nn.Module,
    output: Callable[[Tensor], Tensor],
    values: Tensor,
    axis: int,
    timesteps: int,
    other: Tensor,
) -> tuple[int, ...]:
    """Return the timesteps that the gradient reaches: of the input, else of the embedding."""
    if values.is_floating_point():
        starts = [values.clone().requires_grad_()]
        last = output(starts[0]).select(axis, timesteps - 1)
    else:
        last, starts = _with_starts(model, output, values, axis, timesteps)
        _, changed = _with_starts(model, output, other, axis, timesteps)
        if any(t for t in _moved(starts, changed, timesteps)):
            raise SeqprofError("no module gives numbers of timesteps before they depend on others")
    # Weights at random: a plain sum may not depend on the input, as that of a softmax.
    weights = torch.randn(last.shape, generator=torch.Generator().manual_seed(0)).to(last)
    gradients = torch.autograd.grad((last * weights).sum(), starts, allow_unused=True)
    known = [
        torch.zeros_like(s) if g is None else g for g, s in zip(gradients, starts, strict=True)
    ]
    size = _by_timestep(known, timesteps)
    largest = size.max()
    return tuple(int(t) for t in (size > RESOLUTION * largest).nonzero().flatten())


def _with_starts(
    model: nn.Module,
    output: Callable[[Tensor], Tensor],
    values: Tensor,
    axis: int,
    timesteps: int,
) -> tuple[Tensor, list[Tensor]]:
    """Return the last output, and what the first module gave that gives all timesteps.

    That is one result with all of them, or as many results as there are timesteps.
    """
    results: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, _inputs: Any, result: Any) -> None:
        if isinstance(result, Tensor) and result.requires_grad:
            results.setdefault(module, []).append(result)

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        last = output(values).select(axis, timesteps - 1)
    finally:
        for hook in hooks:
            hook.remove()
    for made in results.values():
        if len(made) == timesteps or (len(made) == 1 and timesteps in made[0].shape):
            return last, made
    raise SeqprofError("no module gives numbers for all timesteps before the first of them")


def _moved(before: list[Tensor], after: list[Tensor], timesteps: int) -> list[int]:
    """Return the timesteps at which two such results differ."""
    apart = [b.detach() - a.detach() for b, a in zip(before, after, strict=True)]
    size = _by_timestep(apart, timesteps)
    return [int(t) for t in (size > RESOLUTION * size.max()).nonzero().flatten()]


def _by_timestep(tensors: list[Tensor], timesteps: int) -> Tensor:
    """Return the largest absolute number of each timestep."""
    if len(tensors) == timesteps:
        return torch.stack([tensor.abs().max() for tensor in tensors])
    [one] = tensors
    return one.abs().movedim(_axis_of_output(one, timesteps), 0).flatten(1).amax(dim=1)
