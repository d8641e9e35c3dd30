"""One candidate in a process of its own, told what to do over a pipe.

::

    parent ── exec ──> this module: imports torch, forks ──> worker 0, worker 1 …, waits for them

The parent lets one worker work at a time, so candidates share the machine but neither memory,
caches, threads nor an allocator's fragments. They are forked, after the imports and before torch
has computed anything, so that libraries lie at the same addresses in all of them: processes that
were started one by one differ in speed by several per cent from that alone.

Ctrl-C reaches the parent only; a worker whose parent is gone reads the end of the pipe and leaves.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from seqprof.errors import SeqprofError
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.instruments.memory import PeakMemory, peak_memory
from seqprof.instruments.operations import OperationCounter, launches
from seqprof.measure.answers import Dwelt, Failure, Prepared, Size, Visit
from seqprof.measure.depth_law import depth_at_lengths
from seqprof.measure.device import choose_device, describe_device, describe_environment
from seqprof.measure.dwell import dwells, first_line, worth_dwelling
from seqprof.measure.pairs import StepTimer
from seqprof.measure.run import user_frame
from seqprof.measure.sweep import sweep
from seqprof.recording import (
    DepthLaw,
    Dwell,
    OperationCount,
    Phase,
    PhaseAccount,
    PrefixPoint,
    Workload,
)
from seqprof.samplers.device import DeviceSampler
from seqprof.spec import Spec
from seqprof.workloads.build import Built, build
from seqprof.workloads.heads import Loss
from seqprof.workloads.step import TrainingStep

#: A step this short is run once untimed at every visit, to bring its data back into the caches.
SETTLE_BELOW_S = 0.1


@dataclass(slots=True)
class _Point:
    spec: Spec
    step: TrainingStep
    loss: Loss
    timer: StepTimer
    typical_s: float = math.inf


@dataclass(slots=True)
class Worker:
    """Measures the points of one candidate.

    A point is a length and a batch size; its key is ``(timesteps, batch_size)``. The points share
    one model, so that many of them need no more memory than one.
    """

    folder: Path
    origin_ns: int
    _points: dict[tuple[int, int], _Point] = field(default_factory=dict)
    _model: nn.Module | None = None
    preparing: Workload | None = None

    def ready(self) -> None:
        """Answer, which takes as long as the imports do."""

    def size(self, spec: Spec) -> Size:
        """Build a model only to say how large it is."""
        facts = build(spec, self.folder).facts
        return Size(facts.parameters, facts.flops_per_step)

    def prepare(self, key: tuple[int, int], spec: Spec) -> Prepared:
        """Warm a point up and count one step of it."""
        device = choose_device(spec.measure.device)
        self.preparing = None
        if spec.measure.threads is not None:
            torch.set_num_threads(spec.measure.threads)
        built = build(spec, self.folder)
        if self._model is None:
            self._model = built.model.to(device).train()
        built = replace(built, model=self._model)
        torch.manual_seed(spec.train.seed)
        step = TrainingStep(built, spec, device)
        self.preparing = _workload(spec, built, step)
        step.drop_gradients()  # of a point that failed in the middle
        point = _Point(spec, step, built.loss, StepTimer(step, device, (), self.origin_ns))
        warmup = [_timed(step, device) for _ in range(spec.measure.warmup)]
        point.typical_s = min(warmup)
        accounts, operations = _count(step, device)
        self._points[key] = point
        _reset(device)
        return Prepared(
            workload=self.preparing,
            environment=describe_environment(describe_device(device), self.folder),
            warmup_wall_s=tuple(warmup),
            accounts=accounts,
            operations=operations,
            unflattened=unflattened(step.model) if device.type == "cuda" else (),
        )

    def visit(self, key: tuple[int, int], round_: int, steps: int) -> Visit:
        """Take the steps of one round."""
        point = self._points[key]
        _start_on_core(round_)
        settling: tuple[float, ...] = ()
        if point.typical_s < SETTLE_BELOW_S:
            settling = (_timed(point.step, choose_device(point.spec.measure.device)),)
        taken = tuple(point.timer.run("bare", round_) for _ in range(steps))
        return Visit(taken, settling)

    def sweep(self, key: tuple[int, int], max_s: float) -> tuple[PrefixPoint, ...]:
        """Take prefixes of the sequences, for the marginal cost; stop after ``max_s``."""
        point = self._points[key]
        device = choose_device(point.spec.measure.device)
        events, seed = point.timer.events, point.spec.train.seed
        return tuple(sweep(point.step, device, events, seed, max_s))

    def dwell(self, key: tuple[int, int]) -> Dwelt:
        """Repeat each phase for NVML; nothing without an accelerator."""
        point = self._points[key]
        device = choose_device(point.spec.measure.device)
        measure = point.spec.measure
        sampler = DeviceSampler(describe_device(device), measure.sample_interval_s, self.origin_ns)
        found: list[Dwell] = []
        with sampler:
            if device.type != "cpu" and worth_dwelling(sampler):
                found += dwells(point.step, device, sampler, measure, self.origin_ns)
            samples, incidents, _ = sampler.finish()
        return Dwelt(tuple(found), samples, tuple(incidents))

    def depths(self, keys: Sequence[tuple[int, int]]) -> tuple[DepthLaw, ...]:
        """Derive the sequential depth at each T; it needs no device and measures nothing.

        Recorded with the batch size of the first: depth does not depend on it.
        """
        points = [self._points[key] for key in keys]
        lengths = [point.step.timesteps for point in points]
        if points[0].spec.train.compile:
            reason = "the model is compiled: its operations are merged into others"
            return tuple(DepthLaw(timesteps=length, reason=reason) for length in lengths)
        step, train = points[0].step, points[0].spec.train
        return depth_at_lengths(step.model, points[0].loss, train, step.next_batch(), lengths)

    def forget(self, key: tuple[int, int]) -> None:
        """Free a point's data and optimizer state."""
        del self._points[key]
        gc.collect()


def _start_on_core(round_: int) -> None:
    """Let all candidates start a round on the same core, the next round on another.

    The scheduler wakes a process where it ran last. If another program keeps that core busy, one
    candidate would be held up in every round and look slow. After the start it is free to move.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[round_ % len(allowed)]})
    os.sched_setaffinity(0, allowed)


def _timed(step: TrainingStep, device: torch.device) -> float:
    synchronize(device)
    start = host_clock_ns()
    step.run()
    synchronize(device)
    return (host_clock_ns() - start) * NS


def _reset(device: torch.device) -> None:
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.memory.empty_cache()


def _workload(spec: Spec, built: Built, step: TrainingStep) -> Workload:
    facts = built.facts
    return Workload(
        model=spec.model.name or spec.model.target or "",
        family=facts.family,
        execution=facts.execution,
        parameters=facts.parameters,
        data=built.data.facts.description,
        batch_size=step.batch_size,
        timesteps=step.timesteps,
        precision=spec.train.precision,
        optimizer=spec.train.optimizer,
        micro_batches=spec.train.accumulate,
        truncate=spec.train.bptt.truncate,
        checkpointed=spec.train.checkpoint,
        flops_per_step=facts.flops_per_step,
        flops_reason=facts.flops_reason,
    )


class _NamedOperations(OperationCounter):  # type: ignore[no-untyped-call]
    """Counts launching operations by name, and keeps the size of what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        call: Callable[..., Any] = func
        result = call(*args, **(kwargs or {}))
        if launches(func):
            self.count += 1
            name = func._schema.name
            self.calls[name] += 1
            if isinstance(result, torch.Tensor):
                self.largest[name] = max(self.largest.get(name, 0), result.numel())
        return result


class _Counted:
    """Reads operations and peak memory at every phase boundary of one untimed step."""

    def __init__(self, operations: _NamedOperations, memory: PeakMemory | None) -> None:
        self._operations, self._memory = operations, memory
        self._running: Phase | None = None
        self.by_phase: dict[Phase, Counter[str]] = {}
        self.peaks: dict[Phase, int] = {}

    def enter(self, phase: Phase) -> None:
        self.end()
        self._running = phase
        self._operations.calls = Counter()
        if self._memory is not None:
            self._memory.reset()

    def end(self) -> None:
        phase, self._running = self._running, None
        if phase is None:
            return
        self.by_phase[phase] = self.by_phase.get(phase, Counter()) + self._operations.calls
        if self._memory is not None:
            self.peaks[phase] = max(self.peaks.get(phase, 0), self._memory.peak_bytes())


def _count(
    step: TrainingStep, device: torch.device
) -> tuple[tuple[PhaseAccount, ...], tuple[OperationCount, ...]]:
    memory, reason = peak_memory(device)
    operations = _NamedOperations()
    counted = _Counted(operations, memory)
    with operations:
        step.run(counted)
    accounts = tuple(
        PhaseAccount(
            phase=phase,
            operations=calls.total(),
            peak_memory_bytes=counted.peaks.get(phase),
            memory_method=memory.method if memory is not None else None,
            reason=reason,
        )
        for phase, calls in counted.by_phase.items()
    )
    phases: tuple[Literal["forward", "backward"], ...] = ("forward", "backward")
    names = tuple(
        OperationCount(
            phase=phase, name=name, calls=calls, largest_output=operations.largest.get(name, 0)
        )
        for phase in phases
        for name, calls in counted.by_phase[phase].most_common()
    )
    return accounts, names


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


def failure(error: Exception, workload: Workload | None) -> Failure:
    """Word what went wrong in a step."""
    text = first_line(error)
    # The CPU's allocator raises a plain RuntimeError.
    short = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )
    kind: Literal["out_of_memory", "step_failed"] = "out_of_memory" if short else "step_failed"
    return Failure(kind, f"{user_frame(error)}{type(error).__name__}: {text}", workload)


def serve(connection: Connection) -> None:
    """Answer the parent until it hangs up: ``(method, arguments)`` in, the result out."""
    worker = Worker(*connection.recv())
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            answer = getattr(worker, method)(*arguments)
        except SeqprofError as error:
            answer = error
        except Exception as error:
            answer = failure(error, worker.preparing)
            error.__traceback__ = None  # its frames hold the tensors that did not fit
        with suppress(BrokenPipeError):  # the parent is gone; the next receive says so
            connection.send(answer)


def fork_workers(workers: Sequence[Connection], deaths: Connection) -> None:
    """Fork a worker for each connection; tell on ``deaths`` which of them ended, and how."""
    running: dict[int, int] = {}
    for index, connection in enumerate(workers):
        with warnings.catch_warnings():  # numpy's threads, which are idle and never forked
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            for other in (*workers[:index], *workers[index + 1 :], deaths):
                other.close()
            serve(connection)
            os._exit(0)
        running[process] = index
    for connection in workers:
        connection.close()
    while running:
        process, status = os.wait()
        with suppress(BrokenPipeError):
            deaths.send((running.pop(process), os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    # What torch imports with the first optimizer, 1.5 s: once here, or once in every worker.
    import_module("torch._dynamo")
    first, *rest = (Connection(int(number)) for number in sys.argv[1:])
    fork_workers(rest, first)
