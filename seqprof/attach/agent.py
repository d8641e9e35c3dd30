"""The agent in the script's process: puts the hooks in, and takes them out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import nn

from seqprof.analysis.loop.kinds import ROUND
from seqprof.attach import hooks
from seqprof.attach.device_clock import DeviceClock, HostMarks
from seqprof.attach.exploring.discovery import DiscoveredLoop
from seqprof.attach.exploring.explorer import Explorer
from seqprof.attach.exploring.joins import Joins
from seqprof.attach.exploring.sizes import SizeReader
from seqprof.attach.facts import process_facts
from seqprof.attach.later_roots import LaterRoots
from seqprof.attach.made import living_optimizers
from seqprof.attach.marks import Marks, ScriptLoopMarks
from seqprof.attach.options import AttachOptions, from_environment
from seqprof.attach.patches import Patches
from seqprof.attach.pause import Pause, UpdateSign
from seqprof.attach.profiled import ProfiledSteps, why_not
from seqprof.attach.session import Session
from seqprof.instruments.stride import MarkCost, choose_stride, measure_mark_cost


class Agent:
    """Everything that is attached to one process."""

    def __init__(self, options: AttachOptions) -> None:
        self.session = Session(options)
        self._patches = Patches()
        self._optimizers: hooks.OptimizerHooks | None = None
        self._compiled_before = _compiled_functions()
        self.session.at_end = self.detach
        self.session.at_explored = self._explored
        self.session.at_new_optimizer = LaterRoots(self.session, self._patches).look
        self.session.device = self._device
        if options.every:
            self.session.at_complete = self._pause

    def attach(self) -> None:
        """Put the hooks in; files are made at the first event."""
        session = self.session
        hooks.install(session, self._patches)
        for optimizer in session.made.living():  # they were made before us
            if "step" in vars(optimizer):  # a scheduler has kept what its class had
                self._optimizers = self._optimizers or hooks.OptimizerHooks(session)
            else:
                hooks.watch_optimizer(session, self._patches, optimizer)
        session.explorer = Explorer(session)
        self._patches.put(nn.Module, "__call__", hooks.exploring(session))
        os.register_at_fork(after_in_child=self._forked)

    def _explored(self) -> None:
        """The loop is known: watch only what the script itself calls, and mark its timesteps."""
        session, explorer = self.session, self.session.explorer
        if explorer is None:
            return
        session.explorer = None
        session.compiled = explorer.compiled or _compiled_functions() > self._compiled_before
        self._patches.restore((nn.Module, "__call__"))
        readers = explorer.size_readers()
        for ident, callee in session.callees.items():
            if ident in readers:
                callee.read_sizes(readers[ident], inside=not session.compiled)
        session.heed_sizes()
        watched = [m for m in session.called_modules() if self._is_needed(m, explorer)]
        for module_class in dict.fromkeys(type(module) for module in watched):
            self._patches.put(module_class, "__call__", hooks.calling_root(session))
        if explorer.timestep_root is not None and not session.compiled:
            self._watch_joins(explorer.timestep_root)
        device, recorder = self._device(), session.recorder
        if device.type != "cpu":
            session.device_clock = DeviceClock(device, recorder.device_times, recorder.device_marks)
        loops = explorer.loops if session.options.timesteps else []
        if loops:
            session.loops = loops
            clock = self._mark_clock
            marks = [ScriptLoopMarks(number, loop, clock.mark) for number, loop in enumerate(loops)]
            session.marks = Marks(marks, recorder.marks, clock.end_marks)
            session.choose_stride = self._stride_for(loops)
        self._tell(explorer, readers)
        self._plan_device_figures()

    def _watch_joins(self, root: int) -> None:
        """Where a root is called once a timestep, its forward ends with putting them together."""
        joins = Joins(self.session)
        for module in self.session.called_modules():
            if id(module) == root:
                self._patches.put(type(module), "__call__", joins.returning)
        for name in ("stack", "cat"):
            self._patches.put(torch, name, joins.joining)

    def _plan_device_figures(self) -> None:
        session = self.session
        options, device = session.options, self._device()
        reason = why_not(device, trace=options.trace)
        if options.profiled and reason is None:
            session.profiled = ProfiledSteps(session.recorder, device, options.profiled)
        elif reason is not None:
            session.recorder.fact("profiled", reason=reason)

    @property
    def _mark_clock(self) -> DeviceClock | HostMarks:
        """What timesteps are marked with: on an accelerator, its clock beside the host's."""
        return self.session.device_clock or HostMarks()

    def _stride_for(self, loops: list[DiscoveredLoop]) -> Callable[[float], int]:
        """Measure what a mark costs here; returns the stride that keeps marks within the budget."""
        session = self.session
        before = session.inside_backward
        session.inside_backward = True  # the backwards of the measuring are not the script's
        try:
            clock = self._mark_clock
            cost = _elsewhere(
                lambda: measure_mark_cost(self._device(), clock.mark, clock.forget_marks)
            )
        finally:
            session.inside_backward = before
        session.recorder.fact("mark_cost", seconds=cost.mark_s)
        calls = sum(loop.timesteps * loop.per_timestep * loop.passes for loop in loops)
        if any(loop.per_timestep > 1 for loop in loops):
            return lambda _step_s: 1  # a timestep's bounds are calls apart
        # Each timestep is to be marked at least once in a window.
        rounds = max(1, session.options.steps // ROUND)
        longest = min(rounds, max(loop.timesteps for loop in loops))
        budget = session.options.budget
        return lambda step_s: choose_stride(cost, calls, longest, step_s, budget)

    def _is_needed(self, module: nn.Module, explorer: Explorer) -> bool:
        """A criterion is only needed where it tells the loss between two forwards."""
        return self.session.callees[id(module)].root or explorer.several_roots

    def _tell(self, explorer: Explorer, readers: dict[int, SizeReader]) -> None:
        recorder = self.session.recorder
        options = self.session.options
        place = {"window": options.window, "steps_before": options.steps_before}
        recorder.fact("process", **process_facts(self._device()), **place)
        for number, loop in enumerate(explorer.loops):
            recorder.fact(
                "loop",
                number=number,
                path=loop.path,
                modules=loop.modules,
                timesteps=loop.timesteps,
                per_timestep=loop.per_timestep,
                reverse=loop.reverse,
            )
        recorder.fact(
            "explored",
            sizes=explorer.sizes(),
            roots=[self.session.keys[root] for root in explorer.roots if root in self.session.keys],
            parts=self._parts(),
            source=_source(explorer, readers),
            fused=explorer.fused_paths(),
            compiled=self.session.compiled,
            timestep_root=self.session.keys.get(explorer.timestep_root or 0),
        )

    def _parts(self) -> list[int]:
        """Keys of the modules called alone by the script that lie in another which it calls."""
        session = self.session
        called = session.called_modules()
        inside = {id(m) for root in called for m in root.modules() if m is not root}
        return [session.callees[id(m)].key for m in called if id(m) in inside]

    def _device(self) -> torch.device:
        for module in self.session.called_modules():
            for parameter in module.parameters():
                return torch.device(parameter.device)
        return torch.device("cpu")

    def detach(self) -> None:
        """Take every hook out."""
        self._patches.restore()
        if self._optimizers is not None:
            self._optimizers.remove()
            self._optimizers = None

    def _pause(self, sign: UpdateSign) -> None:
        """Wait for the next window, which is another agent's."""
        # Of a loop that only infers, it was known after the first forward that it was one.
        options, done = self.session.options, self.session.iteration + self.session.inference
        left = max(1 + sign.under_way, options.every - done)
        following = replace(
            options, window=options.window + 1, steps_before=options.steps_before + done + left
        )
        Pause(left - sign.under_way, sign, lambda: _attach_again(following))

    def _forked(self) -> None:
        if self.session.on:
            self.session.abandon()


def _attach_again(options: AttachOptions) -> None:
    """Open a later window; a fault of ours must not reach the script."""
    try:
        agent = Agent(options)
        for optimizer in living_optimizers():
            agent.session.made.add(optimizer)
        agent.attach()
    except Exception as error:
        print(f"seqprof: window {options.window} was not opened: {error!r}", file=sys.stderr)


def _compiled_functions() -> int:
    """How many functions torch.compile has taken in: what runs in one calls no hook of ours."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    counters = getattr(dynamo, "counters", None)
    return int(counters["frames"]["ok"]) if counters else 0


def _elsewhere(measure: Callable[[], MarkCost]) -> MarkCost:
    """Call ``measure`` on a thread of its own.

    What the script has switched on belongs to its thread: inference mode, autocast, a transform of
    ``torch.func`` in which no backward may run.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(measure).result()


def _source(explorer: Explorer, readers: dict[int, SizeReader]) -> str | None:
    """Where T is read, in words; None where calls of modules tell it."""
    repeats = "counted from operations that repeat" if explorer.repeats_operations else None
    return next((one.words for one in readers.values() if one.words), repeats)


def attach_from_environment() -> None:
    """Attach as the environment says; called when the script has imported torch."""
    if _is_helper():
        return
    Agent(from_environment()).attach()


def _is_helper() -> bool:
    """Whether this is multiprocessing's resource tracker or fork server, which train nothing."""
    return any("resource_tracker" in word or "forkserver" in word for word in sys.orig_argv)
