"""One training step as phases.

::

    data | forward | loss | backward |  …again per micro-batch or chunk…  | optimizer

With ``train.accumulate`` a step takes several micro-batches and adds their gradients. With
``train.bptt.truncate: k`` the sequences of a batch are cut into chunks of k timesteps; each chunk
is run forward and backward with the state of the one before, detached, and the gradients of the
whole sequence go into one update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.recording import Phase
from seqprof.spec import Spec, TrainSpec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built, SequenceModel, detach_state

#: What oneDNN says through torch where it has no kernel for a layer in a type of number.
_NO_KERNEL = "could not create a primitive"
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class PhaseListener(Protocol):
    """Told where the phases begin."""

    def enter(self, phase: Phase) -> None: ...

    def end(self) -> None: ...


class ForwardListener(Protocol):
    """Told before and after each forward, with the timesteps that it covers.

    Timestep t of micro-batch m has the index ``m * T + t``.
    """

    def begin_forward(self, start: int, stop: int) -> None: ...

    def end_forward(self) -> None: ...


class Silence:
    """A listener to whom nothing matters."""

    def enter(self, phase: Phase) -> None:
        pass

    def end(self) -> None:
        pass

    def begin_forward(self, start: int, stop: int) -> None:
        pass

    def end_forward(self) -> None:
        pass


SILENCE = Silence()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did.

    Attributes:
        loss: mean loss, a scalar on the device, detached (reading it synchronizes).
        positions: timesteps computed, over all sequences.
        padded_positions: of these, padding.
    """

    loss: Tensor
    positions: int
    padded_positions: int


def _peek(batches: Iterator[Batch]) -> tuple[Iterator[Batch], Batch]:
    first = next(batches)
    return chain([first], batches), first


def make_optimizer(train: TrainSpec, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the spec names, with torch's own defaults for what it leaves out."""
    options: dict[str, Any] = {"lr": train.learning_rate}
    if train.weight_decay is not None:
        options["weight_decay"] = train.weight_decay
    if train.momentum is not None:
        options["momentum"] = train.momentum
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise SeqprofError("the model has no parameter to train")
    return kinds[train.optimizer](parameters, **options)


class TrainingStep:
    """Runs training steps of one model on one device, and its phases alone.

    Args:
        built: model (already on ``device``), loss and data.
        spec: how a step goes.
        device: where it runs.
        optimizer: of the same model, to go on with; None for a new one.
    """

    def __init__(
        self,
        built: Built,
        spec: Spec,
        device: torch.device,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        train = spec.train
        self.model = built.model
        self._train = train
        self._device = device
        self._loss = built.loss
        self._batches, first = _peek(iter(built.data))
        #: T and B as a batch has them; a user's data need not follow the spec.
        self.timesteps = spec.data.seq_len if spec.data.target is None else first.timesteps
        self.batch_size = first.batch_size
        self._carries_state = train.bptt.truncate is not None
        self._call = forward_callable(built.model, train)
        self.optimizer = optimizer or make_optimizer(train, built.model)
        self._scaler = torch.amp.GradScaler(device.type, enabled=train.precision == "fp16")

    @property
    def micro_batches(self) -> int:
        """Batches in a step (gradient accumulation)."""
        return self._train.accumulate

    def next_batch(self) -> Batch:
        """The next batch, on the device."""
        return next(self._batches).to(self._device, non_blocking=True)

    def run(
        self,
        phases: PhaseListener = SILENCE,
        forwards: ForwardListener = SILENCE,
        prefix: int | None = None,
    ) -> StepResult:
        """Run one training step.

        Args:
            phases: told the phase boundaries.
            forwards: told each forward.
            prefix: use only so many first timesteps of each sequence.
        """
        losses, positions, padded = [], 0, 0
        for micro_batch in range(self._train.accumulate):
            phases.enter("data")
            batch = self.next_batch()
            if prefix is not None:
                batch = batch.prefix(prefix)
            positions += batch.positions
            padded += batch.padded_positions
            state, start = None, micro_batch * self.timesteps
            for chunk in self._chunks(batch):
                phases.enter("forward")
                forwards.begin_forward(start, start + chunk.timesteps)
                output, state = self.forward(chunk, state)
                forwards.end_forward()
                start += chunk.timesteps
                phases.enter("loss")
                loss = self.loss(output, chunk) * (
                    chunk.timesteps / batch.timesteps / self._train.accumulate
                )
                phases.enter("backward")
                self.backward(loss)
                losses.append(loss.detach())
                del output, loss
        phases.enter("optimizer")
        self.update()
        phases.end()
        return StepResult(torch.stack(losses).sum(), positions, padded)

    def _chunks(self, batch: Batch) -> list[Batch]:
        size = self._train.bptt.truncate
        if size is None:
            return [batch]
        length = batch.timesteps
        return [batch.chunk(start, min(start + size, length)) for start in range(0, length, size)]

    def forward(self, batch: Batch, state: Any = None) -> tuple[Tensor, Any]:
        """Run the model alone; returns output and, with truncated BPTT, the detached state.

        Raises:
            SeqprofError: the processor has no kernel for the precision.
        """
        try:
            with self._autocast():
                result = self._call(batch, state)
        except RuntimeError as error:
            if _NO_KERNEL not in str(error):
                raise
            raise self._no_kernel(error) from error
        if self._carries_state:
            output, state = result
            return output, detach_state(state)
        return first_output(result), None

    def _no_kernel(self, error: RuntimeError) -> SeqprofError:
        said = str(error).partition(". ")[0]
        return SeqprofError(
            f"train.precision: this processor has no {self._train.precision} kernel for a layer of "
            f"the model (oneDNN: {said})",
            hint="set train.precision: bf16 or fp32; the built-in recurrent models have "
            "model.execution: cell, which needs no such kernel",
            exit_code=EXIT_CANNOT_MEASURE,
        )

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean loss of one batch."""
        with self._autocast():
            return self._loss(output, batch)

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Backpropagate, adding to the parameters' gradients."""
        self._scaler.scale(loss).backward(retain_graph=retain_graph)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Clip, update the parameters and drop the gradients."""
        if self._train.clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._train.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Free the gradients, so that the next backward writes rather than adds."""
        self.optimizer.zero_grad(set_to_none=True)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _AUTOCAST.get(self._train.precision)
        return nullcontext() if dtype is None else torch.autocast(self._device.type, dtype=dtype)


def forward_callable(model: nn.Module, train: TrainSpec) -> Callable[[Batch, Any], Any]:
    """How ``model`` is called for a batch and a state."""
    truncated = train.bptt.truncate is not None
    if isinstance(model, SequenceModel):
        if truncated:
            return lambda batch, state: model.forward_with_state(
                batch.inputs, state, lengths=batch.lengths, packed=batch.packed
            )
        return lambda batch, state: model(batch.inputs, lengths=batch.lengths, packed=batch.packed)
    if truncated:
        return lambda batch, state: _output_and_state(model(batch.inputs, state))
    return lambda batch, state: model(batch.inputs)


def _output_and_state(result: Any) -> tuple[Tensor, Any]:
    if not (isinstance(result, tuple) and len(result) == 2):
        raise SeqprofError(
            "train.bptt.truncate: the model's forward(inputs, state) returned "
            f"{type(result).__name__}, not (output, state)",
            hint="let forward take the state (None at first) and return (output, state)",
        )
    return result


def first_output(result: Any) -> Tensor:
    """The tensor that the loss is computed on: the result, or the first item of a tuple."""
    if isinstance(result, (tuple, list)) and result:
        result = result[0]
    if not isinstance(result, Tensor):
        raise SeqprofError(
            f"the model returned {type(result).__name__}, but the loss needs a tensor",
            hint="return the output tensor, or a tuple whose first item is it",
        )
    return result
