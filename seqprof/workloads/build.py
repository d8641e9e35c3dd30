"""From a spec to a model, its loss and its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seqprof.errors import SeqprofError
from seqprof.spec import Spec
from seqprof.workloads.batches import Data, DataFacts
from seqprof.workloads.body import Body, TimestepModule
from seqprof.workloads.data.opening import open_data
from seqprof.workloads.heads import SequenceHead, TimestepHead
from seqprof.workloads.losses import AutoLoss, Loss, cross_entropy, mse
from seqprof.workloads.own_step import StepFunction
from seqprof.workloads.parameters import is_length_name, of_function, of_model
from seqprof.workloads.prediction import Head, effective_head
from seqprof.workloads.registry import Family, find_family
from seqprof.workloads.sequence_model import SequenceModel, detach_state
from seqprof.workloads.targets import call_target, load_target

__all__ = [
    "Built",
    "ModelFacts",
    "SequenceModel",
    "TimestepModule",
    "build",
    "detach_state",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model before it runs.

    Attributes:
        family: registry name; None for a user's model.
        execution: ``cell`` or ``fused``; None where there is but one form.
        parameters: number of trained numbers.
        flops_per_step: analytic FLOPs of matrix products, forward and backward, over all
            micro-batches of a step. Recomputation by checkpointing is not counted.
        flops_reason: why it is None.
        timestep_modules: submodules of the model called once per timestep.
        carries_state: whether ``forward_with_state`` lets the next chunk go on (truncated BPTT).
    """

    family: str | None
    execution: str | None
    parameters: int
    flops_per_step: int | None
    flops_reason: str | None
    timestep_modules: tuple[TimestepModule, ...]
    carries_state: bool


@dataclass(frozen=True, slots=True)
class Built:
    """All that a training step needs, on the CPU.

    Attributes:
        model: what is trained.
        loss: takes the output and the batch, returns a scalar.
        data: endless batches.
        facts: what is known of the model.
        timesteps: T of every batch; None where a user's data decide it.
        step: the user's own training step; None where forward and loss are apart.
    """

    model: nn.Module
    loss: Loss
    data: Data
    facts: ModelFacts
    timesteps: int | None = None
    step: StepFunction | None = None


def build(spec: Spec, folder: Path) -> Built:
    """Return the model, its loss and its data, on the CPU, seeded from ``train.seed``.

    Raises:
        SeqprofError: the spec asks for what does not exist or does not fit together.
    """
    if spec.model.target is not None:
        torch.manual_seed(spec.train.seed)
        model = _build_target(spec, folder)
        facts = _target_facts(spec, model)
        data = open_data(spec, folder, of_model(model))
        torch.manual_seed(spec.train.seed)
    else:
        data = open_data(spec, folder)
        torch.manual_seed(spec.train.seed)
        family = find_family(cast(str, spec.model.name))
        model = _build_family(spec, family, data.facts)
        facts = _family_facts(spec, family, model)
    timesteps = None if spec.data.target is not None else spec.data.seq_len
    loss, step = _choose_loss(spec, data.facts, folder), _load_step(spec, folder)
    return Built(model, loss, data, facts, timesteps, step)


def _build_family(spec: Spec, family: Family, data: DataFacts) -> SequenceModel:
    size = family.find_entry_size(spec.model)
    body = family.load_builder()(spec.model, size)
    if not isinstance(body, Body):
        raise SeqprofError(
            f"model.name: the builder of {family.name} ({family.builder}) returned a "
            f"{type(body).__name__}, not a seqprof.workloads.body.Body"
        )
    body.checkpoint = spec.train.checkpoint
    entry, head = _build_entry(data, size), _fitting_head(spec, data)
    if body.sees_future and head == "language_model" and spec.data.kind in (None, "text"):
        raise SeqprofError(
            "model.config: this architecture sees the tokens that a language model is to predict",
            "set model.head: classification, or take a causal architecture (for some, "
            "`is_decoder: true` in model.config)",
        )
    return SequenceModel(entry, body, _build_head(head, body, data))


def _build_entry(data: DataFacts, size: int) -> nn.Module:
    if data.vocabulary is not None:
        return nn.Embedding(data.vocabulary, size)
    if data.features is None:
        raise SeqprofError(
            "data.target: how many tokens there are is not known",
            "give the iterable, or the function that returns it, an attribute `vocabulary`",
        )
    return nn.Identity() if data.features == size else nn.Linear(data.features, size)


def _fitting_head(spec: Spec, data: DataFacts) -> Head:
    head = effective_head(spec)
    if head is not None:
        return head
    if data.outputs is not None:
        return "regression"
    return "language_model" if data.per_timestep else "classification"


def _build_head(kind: Head, body: Body, data: DataFacts) -> nn.Module:
    width = data.outputs if kind == "regression" else data.classes
    if width is None:
        if data.outputs is None and data.classes is None:
            raise SeqprofError(
                "data.target: how many classes there are is not known",
                "give the iterable, or the function that returns it, an attribute `classes`",
            )
        raise SeqprofError(
            f"model.head: {kind} does not suit the targets ({data.description})",
            "leave model.head out to take what suits them",
        )
    if data.per_timestep:
        return TimestepHead(body.output_size, width)
    return SequenceHead(body.output_size, width, body.reverse_features)


def _family_facts(spec: Spec, family: Family, model: SequenceModel) -> ModelFacts:
    flops, reason = _count_flops(spec, model)
    return ModelFacts(
        family=family.name,
        execution=spec.model.execution or family.default_execution,
        parameters=count_parameters(model),
        flops_per_step=flops,
        flops_reason=reason,
        timestep_modules=tuple(
            TimestepModule(f"body.{module.path}", module.reverse)
            for module in model.body.timestep_modules()
        ),
        carries_state=model.body.carries_state,
    )


def _count_flops(spec: Spec, model: SequenceModel) -> tuple[int | None, str | None]:
    """FLOPs of a step's matrix products, 2·m·n·k each, times 3: the backward has two per product.

    One is for the weight's gradient, one for the input's; an entry on raw numbers needs only the
    first, so it counts twice. Its own products: 2·B·T·F·I; the head's: 2·B·T·O·V, without T where
    it reads one timestep.
    """
    if spec.data.target is not None:
        return None, "how long your batches are is known only as they come"
    if spec.data.lengths.layout == "packed":
        return None, "packed sequences: the number of timesteps computed differs by batch"
    batch, timesteps = spec.data.batch_size, spec.data.seq_len
    body = model.body.forward_flops(batch, timesteps)
    if body is None:
        return None, f"{spec.model.name} does not say its FLOPs"
    linear = cast(nn.Linear, model.head.linear)
    read = timesteps if isinstance(model.head, TimestepHead) else 1
    head = 2 * batch * read * linear.in_features * linear.out_features
    entry = 0
    if isinstance(model.entry, nn.Linear):
        entry = 2 * batch * timesteps * model.entry.in_features * model.entry.out_features
    return spec.train.accumulate * (3 * (body + head) + 2 * entry), None


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers are trained; those of a lazy module only after its first forward."""
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.requires_grad and not is_lazy(parameter)
    )


def _build_target(spec: Spec, folder: Path) -> nn.Module:
    target = cast(str, spec.model.target)
    model = call_target(target, folder, spec.model.kwargs, "model.target")
    if not isinstance(model, nn.Module):
        raise SeqprofError(
            f"model.target: {target} returned a {type(model).__name__}, not an nn.Module",
            "it must be a class derived from torch.nn.Module or a function that returns a model",
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SeqprofError(f"model.target: the model of {target} has no parameter to train")
    return model


def _target_facts(spec: Spec, model: nn.Module) -> ModelFacts:
    return ModelFacts(
        family=None,
        execution=None,
        parameters=count_parameters(model),
        flops_per_step=None,
        flops_reason="no formula for a model of your own",
        timestep_modules=(),
        carries_state=False,
    )


def _load_step(spec: Spec, folder: Path) -> StepFunction | None:
    if spec.train.step is None:
        return None
    step = load_target(spec.train.step, folder, "train.step")
    if not callable(step):
        raise SeqprofError(
            f"train.step: {spec.train.step} is a {type(step).__name__}, not a function",
            "name a function (model, batch) -> loss",
        )
    takes = of_function(step)
    if takes is not None and not takes.takes(2):
        raise SeqprofError(
            f"train.step: {spec.train.step} takes {takes.in_words}",
            "it is called with the model and a batch: (model, batch) -> loss",
        )
    return cast(StepFunction, step)


def _choose_loss(spec: Spec, data: DataFacts, folder: Path) -> Loss:
    wanted = spec.train.loss
    if wanted == "auto":
        return AutoLoss()
    if wanted in ("cross_entropy", "mse"):
        if (data.outputs is None) != (wanted == "cross_entropy"):
            kind = "classes" if data.outputs is None else "numbers"
            raise SeqprofError(
                f"train.loss: {wanted} does not suit targets that are {kind}",
                "leave train.loss out to take what suits them",
            )
        return cross_entropy if wanted == "cross_entropy" else mse
    function = load_target(wanted, folder, "train.loss")
    if isinstance(function, type) and issubclass(function, nn.Module):
        function = function()  # nn.CrossEntropyLoss and its like
    if not callable(function):
        raise SeqprofError(
            f"train.loss: {wanted} is a {type(function).__name__}, not a function",
            "name a function (output, targets) -> loss",
        )
    takes = of_function(function.forward if isinstance(function, nn.Module) else function)
    lengths = takes.first(is_length_name, after=2) if takes is not None else None
    if lengths is None:
        return lambda output, batch: cast(Tensor, function(output, batch.targets))
    return lambda output, batch: cast(
        Tensor, function(output, batch.targets, **{lengths: batch.lengths})
    )
