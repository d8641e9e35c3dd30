"""One training step as phases.

::

    data | forward | loss | backward |  …again per micro-batch or chunk…  | optimizer

With ``train.accumulate`` a step takes several micro-batches and adds their gradients. With
``train.bptt.truncate: k`` the sequences of a batch are cut into chunks of k timesteps; each chunk
is run forward and backward with the state of the one before, detached. The gradients of the whole
sequence go into one update, or with ``update: chunk`` each chunk's into its own. With
``carry: true`` the state goes on from batch to batch as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.recording import Incident
from seqprof.spec import Spec
from seqprof.workloads.batches import Batch
from seqprof.workloads.build import Built
from seqprof.workloads.calling import carries_state, output_and_state, plan_call
from seqprof.workloads.layout import Layout, Located
from seqprof.workloads.listeners import SILENCE, ForwardListener, PhaseListener
from seqprof.workloads.locating import locate_in
from seqprof.workloads.losses import AutoLoss
from seqprof.workloads.optimizers import make_optimizer
from seqprof.workloads.own_step import batch_as_given, read_loss, split_at_model
from seqprof.workloads.prefixes import Prefixes
from seqprof.workloads.step_result import StepResult, StepSoFar
from seqprof.workloads.structures import map_leaves, shape_in_words

#: What oneDNN says through torch where it has no kernel for a layer in a type of number.
_NO_KERNEL = "could not create a primitive"
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class StepFacts:
    """How a step is done, in words.

    Attributes:
        call: the call of the model, or the user's function.
        loss: where the loss is from.
        time: T and B of the first batch, where they stand, and from what that is known; None where
            it is so by construction.
    """

    call: str
    loss: str
    time: str | None


def _what_fixes(model: nn.Module) -> str | None:
    """What may fix T in a model of this kind; None where only a try can tell."""
    traced = torch.jit._trace.TracedModule
    if any(isinstance(module, traced) for module in model.modules()):
        return "torch.jit.trace keeps a loop at the T of its example (torch.jit.script does not)"
    return None


def _peek(batches: Iterator[Batch]) -> tuple[Iterator[Batch], Batch]:
    first = next(batches)
    return chain([first], batches), first


class TrainingStep:
    """Runs training steps of one model on one device, and its phases alone.

    Args:
        built: model (already on ``device``), loss and data.
        spec: how a step goes.
        device: where it runs.
        optimizer: of the same model, to go on with; None for a new one.

    Raises:
        SeqprofError: how the model is called, or where T is, cannot be told.
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
        self._own_step, self._step_name = built.step, train.step or ""
        self._batches, first = _peek(iter(built.data))
        self._carries_state = carries_state(train)
        self._carried: tuple[int, Any] | None = None
        self._plan = None if built.step else plan_call(built.model, train, first)
        if isinstance(built.loss, AutoLoss) and self._plan is not None:
            built.loss.gives_targets = self._plan.gives_targets
        self.optimizer = optimizer or make_optimizer(train, built.model)
        self._scaler = torch.amp.GradScaler(device.type, enabled=train.precision == "fp16")
        self.located: Located | None = locate_in(
            built, spec, first, self._try_forward, self._upcoming
        )
        self.layout: Layout = self.located.layout if self.located else first.layout
        first = first.read_as(self.layout)
        #: T and B of the first batch; others may have others.
        self.timesteps, self.batch_size = first.sizes
        #: Which first parts of its sequences the model takes alone.
        self.prefixes = Prefixes(self._try_prefix, self.timesteps, _what_fixes(built.model))
        #: Whether one loop without a question in it does all of a step, once a step has passed.
        self._is_plain = (
            self._plan is not None
            and not self._carries_state
            and not self._scaler.is_enabled()
            and train.accumulate == 1
            and train.clip_norm is None
            and train.precision not in _AUTOCAST
        )
        self._passed = False
        #: Whether batches are drawn by one thread: those of ours, for an accelerator. Once used,
        #: OpenMP's other threads look for work for milliseconds, and take the processors from the
        #: threads that launch (docs/evidence/h100.md).
        self._draws_alone = device.type != "cpu" and spec.data.target is None

    def _upcoming(self, count: int) -> list[Batch]:
        """Return the batches after the first; they are trained on all the same."""
        first = next(self._batches)
        further = list(islice(self._batches, count))
        self._batches = chain([first, *further], self._batches)
        return further

    @property
    def micro_batches(self) -> int:
        """Batches in a step (gradient accumulation)."""
        return self._train.accumulate

    @property
    def facts(self) -> StepFacts:
        """How a step is done, in words."""
        call = f"{self._step_name}(model, batch)" if self._plan is None else self._plan.words
        loss = self._train.loss
        if self._own_step is not None:
            loss = f"what {self._step_name} returns"
        elif isinstance(self._loss, AutoLoss):
            loss = self._loss.words
        return StepFacts(call, loss, self.located.words if self.located else None)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """What a reader must know of how the batches are read."""
        located = self.located
        if located is None:
            return ()
        if located.doubt is not None:
            detail = f"{located.words}; but {located.doubt}"
            return (Incident(kind="layout_doubtful", detail=detail),)
        if located.assumed:
            return (Incident(kind="layout_assumed", detail=located.words),)
        return ()

    def _try_prefix(self, timesteps: int) -> None:
        """Run a step, but for its update, over so many first timesteps of a batch."""
        batch = self.next_batch()
        short = batch.prefix(min(timesteps, batch.timesteps))
        try:
            self.backward(self.loss(self.forward(short)[0], short))
        finally:
            self.drop_gradients()

    def next_batch(self) -> Batch:
        """The next batch, on the device."""
        if not self._draws_alone:
            return self._next_batch()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._next_batch()
        finally:
            torch.set_num_threads(threads)

    def _next_batch(self) -> Batch:
        batch = next(self._batches)
        if self.located is not None and batch.layout != self.layout:
            batch = batch.read_as(self.layout)
        return batch.to(self._device, non_blocking=True)

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
        if self._is_plain and self._passed and prefix is None:
            return self._run_plainly(phases, forwards)
        done = StepSoFar()
        for _ in range(self._train.accumulate):
            phases.enter("data")
            batch = self.next_batch()
            if prefix is not None:
                batch = batch.prefix(min(prefix, batch.timesteps))
            self._train_on(batch, phases, forwards, done)
        if self._train.bptt.update != "chunk":
            phases.enter("optimizer")
            self.update()
        phases.end()
        self._passed = True
        return done.result()

    def _run_plainly(self, phases: PhaseListener, forwards: ForwardListener) -> StepResult:
        """Run the step as one would write the loop, so that every kind of step is that loop.

        What :meth:`run` asks on the way took 40 to 60 µs of a step of 1.7 ms, 5 to 10 µs of it in
        the phases (docs/evidence/bare_steps.md).
        """
        assert self._plan is not None
        enter = phases.enter
        enter("data")
        batch = self.next_batch()
        enter("forward")
        if forwards is not SILENCE:
            forwards.begin_forward(0, batch.timesteps)
        output = self._plan.call(batch, None)
        forwards.end_forward()
        enter("loss")
        loss = self._loss(output, batch)
        del output
        enter("backward")
        loss.backward()  # type: ignore[no-untyped-call]
        taken = loss.detach()
        del loss
        enter("optimizer")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        phases.end()
        return StepResult((batch,), ((taken, 1.0),))

    def _train_on(
        self, batch: Batch, phases: PhaseListener, forwards: ForwardListener, done: StepSoFar
    ) -> None:
        """Go through one micro-batch, chunk by chunk."""
        timesteps, batch_size = batch.sizes
        start = done.begin(batch, timesteps)
        by_chunk = self._train.bptt.update == "chunk"
        state = self._state_before(batch_size)
        for chunk in self._chunks(batch, timesteps):
            part = chunk.timesteps
            phases.enter("forward")
            forwards.begin_forward(start, start + part)
            if self._own_step is not None:
                loss = self._run_own_step(chunk, phases)
                forwards.end_forward()
            else:
                output, state = self.forward(chunk, state)
                forwards.end_forward()
                phases.enter("loss")
                loss = self.loss(output, chunk)
                del output
            start += part
            share = part / timesteps / self._train.accumulate
            if not by_chunk and share != 1.0:
                loss, share = loss * share, 1.0
            phases.enter("backward")
            self.backward(loss)
            done.losses.append((loss.detach(), share))
            del loss
            if by_chunk:
                phases.enter("optimizer")
                self.update()
        if self._train.bptt.carry:
            self._carried = batch_size, state

    def _state_before(self, batch_size: int) -> Any:
        """The state to begin a batch with; a batch of another size cannot go on with the last."""
        if self._carried is None or self._carried[0] != batch_size:
            return None
        return self._carried[1]

    def chunk_lengths(self, timesteps: int) -> list[int]:
        """T of each forward over a batch of so many timesteps."""
        size = self._train.bptt.truncate or max(timesteps, 1)
        return [min(size, timesteps - start) for start in range(0, timesteps, size)]

    def _chunks(self, batch: Batch, timesteps: int) -> list[Batch]:
        lengths = self.chunk_lengths(timesteps)
        if len(lengths) <= 1:
            return [batch]
        return [
            batch.chunk(end - length, end)
            for length, end in zip(lengths, accumulate(lengths), strict=True)
        ]

    def _run_own_step(self, batch: Batch, phases: PhaseListener) -> Tensor:
        separable = getattr(self.model, "_compiled_call_impl", None) is None
        with split_at_model(self.model, phases, separable):
            loss: Tensor = self.forward(batch)[0]
        return loss

    def forward(self, batch: Batch, state: Any = None) -> tuple[Any, Any]:
        """Run the model alone; returns its output and, where one is carried, the detached state.

        With ``train.step`` that is the whole function, and the output is its loss.

        Raises:
            SeqprofError: the processor has no kernel for the precision.
        """
        try:
            with self._autocast():
                if self._own_step is not None:
                    returned = self._own_step(self.model, batch_as_given(batch))
                    return read_loss(returned, self._step_name), None
                assert self._plan is not None
                result = self._plan.call(batch, state)
        except RuntimeError as error:
            if _NO_KERNEL not in str(error):
                raise
            raise self._no_kernel(error) from error
        if self._carries_state:
            output, state = output_and_state(result)
            return output, map_leaves(lambda _, leaf: leaf.detach(), state)
        return result, None

    def _try_forward(self, batch: Batch) -> Any:
        """Run the model as it stands, not compiled, on a batch from the CPU."""
        return self.forward(batch.to(self._device))[0]

    def _no_kernel(self, error: RuntimeError) -> SeqprofError:
        said = str(error).partition(". ")[0]
        return SeqprofError(
            f"train.precision: this processor has no {self._train.precision} kernel for a layer of "
            f"the model (oneDNN: {said})",
            hint="set train.precision: bf16 or fp32; the built-in recurrent models have "
            "model.execution: cell, which needs no such kernel",
            exit_code=EXIT_CANNOT_MEASURE,
        )

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Mean loss of one batch."""
        if self._own_step is not None:
            loss: Tensor = output
            return loss
        with self._autocast():
            loss = self._loss(output, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise SeqprofError(
                f"train.loss: {self._train.loss} returned {shape_in_words(loss)}",
                "return a scalar tensor, such as the mean over all that counts",
            )
        return loss.reshape(()) if loss.dim() else loss

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
