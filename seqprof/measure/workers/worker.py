"""One candidate in a process of its own, asked over a pipe.

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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from seqprof.errors import SeqprofError
from seqprof.measure.device import choose_device, describe_device
from seqprof.measure.endings import die_with_parent, leave_if_copied
from seqprof.measure.faults import explain
from seqprof.measure.outcome import NoProgress
from seqprof.measure.trial.assembly import Assembled, assemble, describe_workload
from seqprof.measure.trial.bench import Bench
from seqprof.measure.trial.dwell import worth_dwelling
from seqprof.measure.workers.messages import (
    DeriveDepths,
    Describe,
    Dwelt,
    Key,
    Prepare,
    Prepared,
    StepsTaken,
    Swept,
    TakeDwells,
    TakeSteps,
    TakeSweep,
    TakeTimesteps,
    TimestepsTaken,
)
from seqprof.recording import DepthLaw, Workload
from seqprof.samplers.device import DeviceSampler
from seqprof.samplers.host import HostMeter
from seqprof.spec import Spec
from seqprof.workloads.build import build
from seqprof.workloads.step import TrainingStep

#: A step this short is run once untimed at every visit, to bring its data back into the caches.
SETTLE_BELOW_S = 0.1


class Worker:
    """The benches of one candidate, a bench for each length and batch size.

    They share one model and one optimizer, so that many points need no more memory than one.

    Args:
        folder: where the candidate's paths and targets are looked for.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(self, folder: Path, origin_ns: int) -> None:
        self._folder, self._origin_ns = folder, origin_ns
        self._benches: dict[Key, Bench] = {}
        self._typical_s: dict[Key, float] = {}
        self._assembled: Assembled | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        #: What was being prepared last, for the words about a failure.
        self.preparing: Workload | None = None
        self._methods: dict[type, Callable[[Any], object]] = {
            Describe: self._describe,
            Prepare: self._prepare,
            TakeSteps: self._take_steps,
            TakeTimesteps: self._take_timesteps,
            TakeSweep: self._take_sweep,
            TakeDwells: self._take_dwells,
            DeriveDepths: self._derive_depths,
        }

    def answer(self, request: object) -> object:
        """Do what is asked; what goes wrong in the model is an answer too.

        Raises:
            SeqprofError: what the spec asks for does not exist or does not fit together.
        """
        try:
            return self._methods[type(request)](request)
        except SeqprofError:
            raise
        except BaseException as error:  # a model may call sys.exit; Ctrl-C reaches the parent only
            failure = explain(error, self.preparing)
            error.__traceback__ = None  # its frames hold the tensors that did not fit
            return failure

    def _describe(self, request: Describe) -> Workload:
        built = build(request.spec, self._folder)
        step = TrainingStep(built, request.spec, torch.device("cpu"))
        return describe_workload(request.spec, built, step, compiled=False)

    def _prepare(self, request: Prepare) -> Prepared:
        spec: Spec = request.spec
        self.preparing = None
        device = choose_device(spec.measure.device)
        if isinstance(spec.measure.threads, int):
            torch.set_num_threads(spec.measure.threads)
        progress = NoProgress()
        made = assemble(spec, self._folder, device, progress, self._assembled)
        bench = Bench(made, spec, self._folder, self._origin_ns, progress, self._optimizer)
        self._assembled, self._optimizer = made, bench.step.optimizer
        self.preparing = bench.workload
        meter = HostMeter()
        prepared = replace(bench.prepare(request.timesteps), host=meter.stop())
        bench.plan_marks()
        self._benches[request.key] = bench
        self._typical_s[request.key] = min(prepared.warmup_wall_s)
        gc.freeze()  # a full collection would hit a few timed steps at random
        return prepared

    def _take_steps(self, request: TakeSteps) -> StepsTaken:
        bench = self._benches[request.key]
        _start_on_core(request.round)
        meter = HostMeter()
        short = self._typical_s[request.key] < SETTLE_BELOW_S
        settling = (bench.settle(),) if short else ()
        taken = bench.take_visit(request.round, request.steps)
        return replace(taken, settling_s=settling, host=meter.stop())

    def _take_timesteps(self, request: TakeTimesteps) -> TimestepsTaken:
        return self._benches[request.key].timesteps()

    def _take_sweep(self, request: TakeSweep) -> Swept:
        return self._benches[request.key].sweep(request.limit_s, beside_marks=True)

    def _take_dwells(self, request: TakeDwells) -> Dwelt:
        bench = self._benches[request.key]
        interval_s = bench.spec.measure.sample_interval_s
        sampler = DeviceSampler(describe_device(bench.device), interval_s, self._origin_ns)
        with sampler:
            wanted = bench.device.type != "cpu" and worth_dwelling(sampler)
            dwells = bench.dwell(sampler, request.phases) if wanted else ()
            samples, incidents, _ = sampler.finish()
        return Dwelt(dwells=dwells, samples=samples, incidents=tuple(incidents))

    def _derive_depths(self, request: DeriveDepths) -> tuple[DepthLaw, ...]:
        benches = [self._benches[key] for key in request.keys]
        return benches[0].depths([bench.step.timesteps for bench in benches])


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


def serve(connection: Connection) -> None:
    """Answer the parent until it hangs up.

    Before that, what the worker starts with is received and the number of its process sent.
    """
    worker = Worker(*connection.recv())
    owner = os.getpid()
    connection.send(owner)  # the imports are done
    while True:
        try:
            request = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        answer: object
        try:
            answer = worker.answer(request)
        except SeqprofError as error:
            answer = error
        leave_if_copied(owner)
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
            die_with_parent()
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
