"""A model that is ready to train on its device, compiled where that is asked and works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from seqprof.measure.outcome import Progress
from seqprof.measure.trial.compiling import compile_model, try_compile
from seqprof.recording import Incident, Workload
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch, Data
from seqprof.workloads.build import Built, SequenceModel, build, count_parameters
from seqprof.workloads.step import TrainingStep


class Replay:
    """Data whose batches of the step that runs can be had again, to tell whose a fault is."""

    def __init__(self, data: Data) -> None:
        self._source = iter(data)
        self.facts = data.facts
        self._of_step: list[Batch] = []
        self._again: list[Batch] = []
        self._begun = False

    def begin_step(self) -> None:
        """Forget the batches of the step before. What was looked at beforehand is the first's."""
        if self._begun:
            self._of_step.clear()
        self._begun = True

    def rewind(self) -> None:
        """Give the batches of this step again."""
        self._again = list(self._of_step)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._again:
            return self._again.pop(0)
        batch = next(self._source)
        self._of_step.append(batch)
        return batch


@dataclass(frozen=True, slots=True)
class Assembled:
    """A model on its device, its loss and its data.

    Attributes:
        compiled: whether its calls go through ``torch.compile``.
        incidents: what happened while it was made.
    """

    built: Built
    device: torch.device
    compiled: bool
    incidents: tuple[Incident, ...] = ()


def assemble(
    spec: Spec,
    folder: Path,
    device: torch.device,
    progress: Progress,
    onto: Assembled | None = None,
) -> Assembled:
    """Build what ``spec`` describes.

    Args:
        spec: what is trained.
        folder: where its paths and targets are looked for.
        device: where it will run.
        progress: told when the compiler is tried, which takes long.
        onto: an earlier point of the same candidate, whose model is trained on: many points then
            need no more memory than one.

    Raises:
        SeqprofError: the spec asks for what does not exist or does not fit together.
        Exception: what the model's or the device's code raises.
    """
    built = build(spec, folder)
    if onto is not None:
        return replace(onto, built=replace(built, model=onto.built.model), incidents=())
    incidents = slow_paths(built.model)
    compiled = False
    if spec.train.compile:
        progress.stage("trying torch.compile", None)
        incident = try_compile(spec, folder, device)
        compiled = incident is None
        incidents += (incident,) if incident is not None else ()
    built.model.to(device).train()
    if compiled:
        compile_model(built, spec)
    return Assembled(built, device, compiled, incidents)


def slow_paths(model: nn.Module) -> tuple[Incident, ...]:
    """Tell what the model's library says of a slower implementation that it took."""
    said = model.body.slow_paths() if isinstance(model, SequenceModel) else ()
    return (Incident(kind="slow_path", detail=" ".join(said)),) if said else ()


def unflattened(model: nn.Module) -> tuple[str, ...]:
    """Return the recurrent layers whose weights do not lie in one piece of memory.

    cuDNN then copies them together in every forward (``flatten_parameters`` undoes it).
    """
    return tuple(
        name or "the model"
        for name, module in model.named_modules()
        if isinstance(module, nn.RNNBase)
        and len({p.untyped_storage().data_ptr() for p in module.parameters()}) > 1
    )


def describe_workload(spec: Spec, built: Built, step: TrainingStep, compiled: bool) -> Workload:
    """Say what is trained, as it was built."""
    facts = built.facts
    return Workload(
        model=spec.model.name or spec.model.target or "",
        family=facts.family,
        execution=facts.execution,
        parameters=facts.parameters if facts.family else count_parameters(built.model),
        data=built.data.facts.description,
        batch_size=step.batch_size,
        time_axis=step.facts.time,
        call=None if facts.family else step.facts.call,
        loss=None if facts.family else step.facts.loss,
        timesteps=step.timesteps,
        precision=spec.train.precision,
        optimizer=spec.train.optimizer,
        micro_batches=spec.train.accumulate,
        truncate=spec.train.bptt.truncate,
        checkpointed=spec.train.checkpoint,
        compiled=compiled,
        flops_per_step=facts.flops_per_step,
        flops_reason=facts.flops_reason,
    )
