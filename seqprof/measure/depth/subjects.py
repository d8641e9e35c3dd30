"""What sequential depth is recorded of: a family, a config or a user's own factory, without values.

The model's copy lives on the ``meta`` device, whose tensors have shapes and no memory: nothing is
computed and no weight is copied. Fused recurrent layers have no kernel there, so torch runs them
as their timesteps, one by one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.errors import SeqprofError
from seqprof.measure.names import Named
from seqprof.spec import ModelSpec, Spec, TrainSpec
from seqprof.spec_file import load_spec, load_spec_text
from seqprof.workloads.batches import Batch
from seqprof.workloads.body import Body
from seqprof.workloads.build import build
from seqprof.workloads.calling import carries_state, output_and_state, plan_call
from seqprof.workloads.losses import Loss, pick_output
from seqprof.workloads.own_step import StepFunction, batch_as_given, read_loss
from seqprof.workloads.registry import find_family
from seqprof.workloads.sequence_model import SequenceModel
from seqprof.workloads.step import TrainingStep
from seqprof.workloads.structures import map_leaves
from seqprof.workloads.targets import call_target

#: Sequences where neither the user nor a spec says how many.
_DEFAULT_BATCH = 16
#: Runs forward, loss and backward over T timesteps, telling each phase before it begins.
Step = Callable[[int, Callable[[str], None]], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A model on the meta device, or itself, and how a step of it runs.

    Attributes:
        form: in words: execution, loss, options that were set, what was expanded.
        optimizer: what says which one, and its settings.
        truncate: timesteps after which truncated BPTT cuts; None where it does not.
        real: whether it is the model itself, whose steps run on values.
        timesteps: T of its own batches; None where it has none.
        itself: the same as a real one, for a model that does not run on shapes alone; None where
            there are no such batches.
    """

    name: str
    form: str
    model: nn.Module
    step: Step
    batch_size: int
    optimizer: TrainSpec
    notes: tuple[str, ...] = ()
    truncate: int | None = None
    real: bool = False
    timesteps: int | None = None
    itself: Subject | None = None

    @property
    def device(self) -> torch.device:
        """Where its parameters are: ``meta``, or fake or real ones on another device."""
        return _device_of(self.model)

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
    body = model.body if isinstance(model, SequenceModel) else model
    return body if isinstance(body, Body) else None


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` on the meta device without copying its weights even once."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        held = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        for tensor in (*held, *(v for v in vars(module).values() if isinstance(v, Tensor))):
            if id(tensor) not in memo:
                memo[id(tensor)] = _empty_on(torch.device("meta"), tensor)
    return copy.deepcopy(model, memo)


def _empty_on(device: torch.device, tensor: Tensor) -> Tensor:
    """Return a tensor, or a parameter, of the same shape without values."""
    empty = torch.empty_like(tensor, device=device, requires_grad=False)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


@contextmanager
def shapes_on(device: torch.device, model: nn.Module) -> Iterator[None]:
    """Give a model on the meta device tensors of the same shapes on another one for a while."""
    here = [
        (module, name, tensor)
        for module in model.modules()
        for held in (module._parameters, module._buffers, vars(module))
        for name, tensor in held.items()
        if isinstance(tensor, Tensor)
    ]
    there: dict[int, Tensor] = {}
    for module, name, tensor in here:
        if id(tensor) not in there:
            there[id(tensor)] = _empty_on(device, tensor)
        setattr(module, name, there[id(tensor)])
    try:
        yield
    finally:
        for module, name, tensor in here:
            setattr(module, name, tensor)


def subject_of(
    named: Named, batch: int | None, overrides: Sequence[str], features: int | None = None
) -> tuple[Subject, int | None]:
    """Return the model that a word stands for, and T of its spec or its own data, if it has one.

    Args:
        batch: sequences; None for the spec's, else 16.
        overrides: ``a.b=value``, on top of a spec or a family's defaults.
        features: of the numbers that a user's own module takes; None: it takes tokens.
    """
    if named.path is not None:
        loaded = load_spec(named.path, overrides)
        subject = config_subject(loaded.spec, loaded.folder, named.word, batch)
        own_data = loaded.spec.data.target is not None
        return subject, subject.timesteps if own_data else loaded.spec.data.seq_len
    if named.family is None:
        return target_subject(named.word, features, batch or _DEFAULT_BATCH), None
    form = [f"model.execution={named.form}"] if named.form else []
    text = f"model: {{name: {named.family.name}}}\n"
    loaded = load_spec_text(text, named.word, [*overrides, *form])
    return family_subject(loaded.spec.model, batch or _DEFAULT_BATCH), None


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
    template = TrainingStep(built, spec, torch.device("cpu")).next_batch()
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

    def step_of(model: nn.Module, batches: Callable[[int], Batch]) -> Step:
        return training_step(model, built.loss, spec.train, batches, built.step)

    subject = Subject(
        name=name,
        form=", ".join(part for part in form if part),
        model=model,
        step=step_of(model, lambda timesteps: template.without_values(timesteps, batch)),
        batch_size=batch,
        optimizer=spec.train,
        notes=tuple(notes),
        truncate=spec.train.bptt.truncate,
        timesteps=template.timesteps,
    )
    if batch != template.batch_size:
        return subject
    itself = dataclasses.replace(
        subject,
        model=built.model,
        step=step_of(built.model, template.prefix),
        notes=(*notes[len(expanded) :], "counted in real steps: it does not run on shapes alone"),
        real=True,
    )
    return dataclasses.replace(subject, itself=itself)


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
        shape = (batch_size, timesteps, *trailing)
        inputs = torch.empty(shape, dtype=dtype, device=_device_of(model))
        enter("forward")
        result = model(inputs)
        output = pick_output(result[0] if isinstance(model, Body) else result, None)
        enter("loss")
        loss = output.sum()
        enter("backward")
        loss.backward()  # type: ignore[no-untyped-call]

    return step


def _device_of(model: nn.Module) -> torch.device:
    """Where its parameters are: ``meta``, or fake ones on another device."""
    return next((parameter.device for parameter in model.parameters()), torch.device("meta"))


def _beside(model: nn.Module, batch: Batch) -> Batch:
    """The batch of shapes on the device of the model."""
    device = _device_of(model)

    def moved(_: object, leaf: object) -> object:
        if isinstance(leaf, Tensor) and leaf.is_meta:
            return torch.empty_like(leaf, device=device)
        return leaf

    if device.type == "meta":
        return batch
    inputs, targets = map_leaves(moved, batch.inputs), map_leaves(moved, batch.targets)
    return dataclasses.replace(batch, inputs=inputs, targets=targets)


def training_step(
    model: nn.Module,
    loss: Loss,
    train: TrainSpec,
    batches: Callable[[int], Batch],
    own_step: StepFunction | None = None,
) -> Step:
    """A step as ``run`` does it: with truncated BPTT chunk by chunk, the state detached."""
    if own_step is not None:
        return _own_training_step(model, own_step, batches)
    truncate, carries = train.bptt.truncate, carries_state(train)

    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        batch = _beside(model, batches(timesteps))
        call = plan_call(model, train, batch).call
        state: Any = None
        size = truncate or timesteps
        for start in range(0, timesteps, size):
            chunk = batch.chunk(start, min(start + size, timesteps))
            enter("forward")
            output = call(chunk, state)
            if carries:
                output, state = output_and_state(output)
                state = map_leaves(lambda _, leaf: leaf.detach(), state)
            enter("loss")
            value = loss(output, chunk)
            enter("backward")
            value.backward()  # type: ignore[no-untyped-call]

    return step


def _own_training_step(
    model: nn.Module, own_step: StepFunction, batches: Callable[[int], Batch]
) -> Step:
    def step(timesteps: int, enter: Callable[[str], None]) -> None:
        batch = _beside(model, batches(timesteps))
        enter("forward")
        loss = read_loss(own_step(model, batch_as_given(batch)), "the step")
        enter("loss")
        enter("backward")
        loss.backward()  # type: ignore[no-untyped-call]

    return step
