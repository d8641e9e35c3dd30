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
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from seqprof.errors import SeqprofError
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize, timer_resolution_s
from seqprof.instruments.memory import release
from seqprof.instruments.operations import OperationTallies
from seqprof.measure.account import account
from seqprof.measure.answers import Dwelt, Failure, FailureKind, Prepared, Visit
from seqprof.measure.compiling import compile_model, try_compile
from seqprof.measure.depth_law import depth_at_lengths
from seqprof.measure.device import choose_device, describe_device, describe_environment
from seqprof.measure.dwell import DwellPhase, dwells, first_line, worth_dwelling
from seqprof.measure.pairs import StepTimer
from seqprof.measure.run import describe_workload, slow_paths, user_frame
from seqprof.measure.sweep import sweep
from seqprof.recording import (
    DepthLaw,
    Dwell,
    Incident,
    OperationCount,
    PhaseAccount,
    PrefixPoint,
    Workload,
)
from seqprof.samplers.device import DeviceSampler
from seqprof.samplers.host import HostMeter
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
    typical_s: float


@dataclass(slots=True)
class Worker:
    """Measures the points of one candidate.

    A point is a length and a batch size; its key is ``(timesteps, batch_size)``. The points share
    one model and one optimizer, so that many of them need no more memory than one.
    """

    folder: Path
    origin_ns: int
    _points: dict[tuple[int, int], _Point] = field(default_factory=dict)
    _model: nn.Module | None = None
    _optimizer: torch.optim.Optimizer | None = None
    _compiled: bool = False
    _incidents: tuple[Incident, ...] = ()
    preparing: Workload | None = None

    def describe(self, spec: Spec) -> Workload:
        """Build a model and its data only to say what they are."""
        built = build(spec, self.folder)
        step = TrainingStep(built, spec, torch.device("cpu"))
        return describe_workload(spec, built, step, self._compiled)

    def prepare(self, key: tuple[int, int], spec: Spec) -> Prepared:
        """Warm a point up and count one step of it."""
        device = choose_device(spec.measure.device)
        self.preparing = None
        if spec.measure.threads is not None:
            torch.set_num_threads(spec.measure.threads)
        built = self._build(spec, device)
        torch.manual_seed(spec.train.seed)
        step = TrainingStep(built, spec, device, self._optimizer)
        self._optimizer = step.optimizer
        self.preparing = describe_workload(spec, built, step, self._compiled)
        step.drop_gradients()  # of a point that failed in the middle
        warmup = [_timed(step, device) for _ in range(spec.measure.warmup)]
        accounts, operations = _count(step, device, self._compiled)
        timer = StepTimer(step, device, (), self.origin_ns)
        self._points[key] = _Point(spec, step, built.loss, timer, min(warmup))
        gc.freeze()  # a full collection would hit a few timed steps at random
        incidents, self._incidents = self._incidents, ()
        return Prepared(
            workload=self.preparing,
            environment=describe_environment(describe_device(device), self.folder),
            warmup_wall_s=tuple(warmup),
            accounts=accounts,
            operations=operations,
            unflattened=unflattened(step.model) if device.type == "cuda" else (),
            incidents=incidents,
            timer_resolution_s=timer_resolution_s(),
        )

    def _build(self, spec: Spec, device: torch.device) -> Built:
        """Build a point on the model of the first one, which is compiled where that is asked."""
        built = build(spec, self.folder)
        if self._model is None:
            if spec.train.compile:
                incident = try_compile(spec, self.folder, device)
                self._compiled = incident is None
                self._incidents += (incident,) if incident is not None else ()
            self._incidents += slow_paths(built.model)
            built.model.to(device).train()
            if self._compiled:
                compile_model(built, spec)
            self._model = built.model
        return replace(built, model=self._model)

    def visit(self, key: tuple[int, int], round_: int, steps: int) -> Visit:
        """Take the steps of one round."""
        point = self._points[key]
        _start_on_core(round_)
        meter = HostMeter()
        settling: tuple[float, ...] = ()
        if point.typical_s < SETTLE_BELOW_S:
            settling = (_timed(point.step, choose_device(point.spec.measure.device)),)
        taken = tuple(point.timer.run("bare", round_) for _ in range(steps))
        incidents = tuple(point.timer.incidents)
        point.timer.incidents.clear()
        return Visit(
            steps=taken,
            settling_s=settling,
            cpu_clock=point.timer.phases.cpu_clock.kind,
            host=meter.stop(),
            incidents=incidents,
        )

    def sweep(self, key: tuple[int, int], max_s: float) -> tuple[PrefixPoint, ...]:
        """Take prefixes of the sequences, for the marginal cost; stop after ``max_s``."""
        point = self._points[key]
        device = choose_device(point.spec.measure.device)
        events, seed = point.timer.events, point.spec.train.seed
        return tuple(sweep(point.step, device, events, seed, max_s))

    def dwell(self, key: tuple[int, int], phases: Sequence[DwellPhase]) -> Dwelt:
        """Repeat phases alone for NVML; nothing without an accelerator."""
        point = self._points[key]
        device = choose_device(point.spec.measure.device)
        measure = point.spec.measure
        sampler = DeviceSampler(describe_device(device), measure.sample_interval_s, self.origin_ns)
        found: list[Dwell] = []
        with sampler:
            if device.type != "cpu" and worth_dwelling(sampler):
                found += dwells(point.step, device, sampler, measure, self.origin_ns, phases)
            samples, incidents, _ = sampler.finish()
        return Dwelt(tuple(found), samples, tuple(incidents))

    def depths(self, keys: Sequence[tuple[int, int]]) -> tuple[DepthLaw, ...]:
        """Derive the sequential depth at each T; it needs no device and measures nothing.

        Recorded with the batch size of the first: depth does not depend on it.
        """
        points = [self._points[key] for key in keys]
        lengths = [point.step.timesteps for point in points]
        if self._compiled:
            reason = "the model is compiled: its operations are merged into others"
            return tuple(DepthLaw(timesteps=length, reason=reason) for length in lengths)
        step, train = points[0].step, points[0].spec.train
        return depth_at_lengths(step.model, points[0].loss, train, step.next_batch(), lengths)


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


def _count(
    step: TrainingStep, device: torch.device, compiled: bool
) -> tuple[tuple[PhaseAccount, ...], tuple[OperationCount, ...]]:
    """Count one step: operations and peak memory of each phase, and operations by name."""
    release(device)
    tallies = OperationTallies(step.timesteps)
    accounts, _ = account(step, device, (), 0, compiled, tallies)
    phases: tuple[Literal["forward", "backward"], ...] = ("forward", "backward")
    names = tuple(
        OperationCount(
            phase=phase,
            name=name,
            calls=tally.calls,
            sliced=tally.sliced,
            sliced_bytes=tally.sliced_bytes,
        )
        for phase in phases
        for name, tally in sorted(
            tallies.by_phase.get(phase, {}).items(), key=lambda item: -item[1].calls
        )
    )
    release(device)
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
    kind: FailureKind = "out_of_memory" if short else "step_failed"
    return Failure(kind, f"{user_frame(error)}{type(error).__name__}: {text}", workload)


def serve(connection: Connection) -> None:
    """Answer the parent until it hangs up: ``(method, arguments)`` in, the result out.

    Before that, what the worker starts with is received and the number of its process sent.
    """
    worker = Worker(*connection.recv())
    connection.send(os.getpid())  # the imports are done
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
