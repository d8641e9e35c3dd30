"""What sequential depth is recorded of: a family, a config or a user's own factory, without values.

The model's copy lives on the ``meta`` device, whose tensors have shapes and no memory: nothing is
computed and no weight is copied. Fused recurrent layers have no kernel there, so torch runs them
as their timesteps, one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec, Spec, TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.body import Body
from seqprof.workloads.build import build, detach_state
from seqprof.workloads.heads import Loss
from seqprof.workloads.registry import find_family
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.step import first_output, forward_callable
from seqprof.workloads.targets import call_target

#: Runs forward, loss and backward over T timesteps, telling each phase before it begins.
Step = Callable[[int, Callable[[str], None]], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on the meta device and how a step of it runs.

    Attributes:
        form: in words: execution, loss, options that were set, what was expanded.
        optimizer: what says which one, and its settings.
        truncate: timesteps after which truncated BPTT cuts; None where it does not.
    """

    name: str
    form: str
    model: nn.Module
    step: Step
    batch_size: int
    optimizer: TrainSpec
    notes: tuple[str, ...] = ()
    truncate: int | None = None

    @property
    def chunk(self) -> int | None:
        """Timesteps that the model takes at once; None where it does not work in chunks."""
        body = _body(self.model)
        return body.chunk if body is not None else None

    def slow_paths(self) -> tuple[str, ...]:
        """Return what a library has said about slow code that it fell back to, if it did."""
        body = _body(self.model)
        return body.slow_paths() if body is not None else ()


def _body(model: nn.Module) -> Body | None:
    found = model.body if isinstance(model, SequenceModel) else model
    return found if isinstance(found, Body) else None


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` on the meta device without copying its weights even once."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        held = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        for tensor in (*held, *(v for v in vars(module).values() if isinstance(v, Tensor))):
            if id(tensor) not in memo:
                empty = torch.empty_like(tensor, device="meta", requires_grad=False)
                memo[id(tensor)] = (
                    nn.Parameter(empty, requires_grad=tensor.requires_grad)
                    if isinstance(tensor, nn.Parameter)
                    else empty
                )
    return copy.deepcopy(model, memo)


def family_subject(model: ModelSpec, batch_size: int) -> Subject:
    """A family's body alone, on ``[B, T, H]`` numbers, with the sum of its outputs as the loss."""
    family = find_family(str(model.name))
    size = family.find_entry_size(model)
    with torch.device("meta"):
        body = family.load_builder()(model, size)
    execution = model.execution or family.default_execution
    notes = _expanded(body)
    return Subject(
        name=f"{family.name}@{execution}" if execution else family.name,
        form=", ".join([*_options(model), *(["expanded"] if notes else []), "sum loss"]),
        model=body,
        step=_sum_step(body, (size,), batch_size),
        batch_size=batch_size,
        optimizer=TrainSpec(),
        notes=notes,
    )


def _options(model: ModelSpec) -> list[str]:
    """What was set besides name and form, as in ``transition scalar``."""
    given = model.model_dump(exclude_unset=True, exclude={"name", "execution", "config"})
    kind = [str(model.config.get("model_type"))] if model.config else []
    return [*kind, *(f"{key.replace('_', ' ')} {value}" for key, value in given.items())]


def target_subject(target: str, features: int | None, batch_size: int) -> Subject:
    """A user's own module on ``[B, T, features]`` numbers or ``[B, T]`` tokens, with sum loss."""
    built = call_target(target, Path(), {}, "target")
    if not isinstance(built, nn.Module):
        raise SeqprofError(f"{target} returned a {type(built).__name__}, not an nn.Module")
    model = meta_copy(built)
    inputs = f"[B, T, {features}] numbers" if features else "[B, T] tokens"
    notes = _expanded(model)
    return Subject(
        name=target,
        form=", ".join([inputs, *(["expanded"] if notes else []), "sum loss"]),
        model=model,
        step=_sum_step(model, (features,) if features else (), batch_size),
        batch_size=batch_size,
        optimizer=TrainSpec(),
        notes=notes,
    )


def config_subject(spec: Spec, folder: Path, name: str, batch_size: int | None) -> Subject:
    """The whole model, loss and data of a config."""
    built = build(spec, folder)
    template = next(iter(built.data))
    model = meta_copy(built.model)
    batch = batch_size or template.batch_size
    expanded = _expanded(model)
    notes = [*expanded]
    if template.lengths is not None:
        notes.append("all sequences as long as the longest: padding and packing are left out")
    if spec.train.precision != "fp32":
        notes.append(f"without the casts of {spec.train.precision} autocast")
    if spec.train.accumulate > 1:
        notes.append(f"one of {spec.train.accumulate} micro-batches")
    form = [built.facts.execution, "expanded" if expanded else None, f"loss {spec.train.loss}"]
    return Subject(
        name=name,
        form=", ".join(part for part in form if part),
        model=model,
        step=training_step(
            model, built.loss, spec.train, lambda timesteps: meta_batch(template, batch, timesteps)
        ),
        batch_size=batch,
        optimizer=spec.train,
        notes=tuple(notes),
        truncate=spec.train.bptt.truncate,
    )


def _expanded(model: nn.Module) -> tuple[str, ...]:
    """Name the fused layers that shapes alone run timestep by timestep."""
    kinds = sorted({f"nn.{type(m).__name__}" for m in model.modules() if isinstance(m, nn.RNNBase)})
    if not kinds:
        return ()
    return (
        f"{' and '.join(kinds)}: expanded into the operations of each timestep; on a GPU its "
        "kernels merge some of them, the chain of timesteps stays",
    )


def _sum_step(model: nn.Module, trailing: tuple[int, ...], batch_size: int) -> Step:
    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        dtype = torch.float32 if trailing else torch.int64
        inputs = torch.empty(batch_size, timesteps, *trailing, dtype=dtype, device="meta")
        enter("forward")
        result = model(inputs)
        output = result[0] if isinstance(model, Body) else first_output(result)
        enter("loss")
        loss = output.sum()
        enter("backward")
        loss.backward()

    return step


def training_step(
    model: nn.Module, loss: Loss, train: TrainSpec, batches: Callable[[int], Batch]
) -> Step:
    """A step as ``run`` does it: with truncated BPTT chunk by chunk, the state detached."""
    call = forward_callable(model, train)
    truncate = train.bptt.truncate

    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        batch = batches(timesteps)
        state: Any = None
        size = truncate or timesteps
        for start in range(0, timesteps, size):
            chunk = batch.chunk(start, min(start + size, timesteps))
            enter("forward")
            result = call(chunk, state)
            if truncate is not None:
                output, state = result[0], detach_state(result[1])
            else:
                output = first_output(result)
            enter("loss")
            value = loss(output, chunk)
            enter("backward")
            value.backward()  # type: ignore[no-untyped-call]

    return step


def meta_batch(template: Batch, batch_size: int, timesteps: int) -> Batch:
    """Return a batch without values, of the template's kind, ``batch_size`` by ``timesteps``."""
    inputs, targets = template.inputs, template.targets
    along = (timesteps,) if template.has_target_per_timestep else ()
    kept = targets.shape[1 + len(along) :]
    return Batch(
        torch.empty(batch_size, timesteps, *inputs.shape[2:], dtype=inputs.dtype, device="meta"),
        torch.empty(batch_size, *along, *kept, dtype=targets.dtype, device="meta"),
    )
