"""What happens inside the script's process, from the first event to the end of the window.

::

    iteration   0 … explored | warm-up … | bounded probed bounded metered, … | hooks gone

An iteration counts as ended with the update (the step of the last of the optimizers, or a backward
where there is none) and the next one begins with what comes first after it. This is only what the
agent needs to know while it runs: what an iteration is in the report is derived from the events.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import get_ident
from time import perf_counter_ns
from typing import Any

import torch

from seqprof.analysis.loop.kinds import ROUND, Flag, Kind, pack
from seqprof.attach.device_clock import DeviceClock
from seqprof.attach.exploring.discovery import DiscoveredLoop
from seqprof.attach.exploring.explorer import Explorer
from seqprof.attach.loaders import TrainedLoaders
from seqprof.attach.made import MadeOptimizers
from seqprof.attach.marks import Marks
from seqprof.attach.operations import PhaseOperations
from seqprof.attach.options import AttachOptions
from seqprof.attach.pause import UpdateSign
from seqprof.attach.profiled import ProfiledSteps
from seqprof.attach.recorder import Recorder
from seqprof.attach.rounds import METERED, PROBED, WARMUP, kind_of
from seqprof.attach.script_objects import ScriptObjects
from seqprof.attach.tracebacks import hide_own_frames

#: Iterations in which every module call is watched; so many until each optimizer has been stepped.
EXPLORED, _MOST_EXPLORED = 2, 8
#: Backwards without an optimizer's step, after which none is awaited.
_PATIENCE = 32
_COUNTED = {
    int(Kind.FORWARD_OUT): "forward",
    int(Kind.BACKWARD_OUT): "backward",
    int(Kind.OPTIMIZER_OUT): "optimizer",
}
_ITERATION, _FLAGS, _KEY = int(Kind.ITERATION), 8, 24


class Session(ScriptObjects):
    """The state of the window; its methods are what the hooks call besides stamping.

    Attributes:
        on: whether anything is recorded.
        attentive: more than a stamp is to be done, and each event is stored; else whole spans are.
        fetches, loaders: what is fetched, and the numbers of those whose batches are trained on.
        updated: an update has happened, and nothing since.
        then_bounded: the next iteration is a bounded one, with nothing else to be done.
        plain_end: the optimizer whose step ends this one with nothing else to be done, or 0.
        made: optimizers that exist; one of the model's tells a loop that will step it.
        stepping: optimizers, by ``id``, that are being stepped.
        inference: the loop runs forwards only.
        inside_root, inside_backward: a root is being called, a backward runs.
        explored: iterations in which every module call is watched.
        warmup: iterations before those that are measured.
        explorer: watches module calls in the first iterations, then None.
        loops: over timesteps, as they were discovered, until they are marked.
        device_clock: of an accelerator, read in metered steps.
        counting: counts the operations of one step of the warm-up.
        compiled: torch.compile has a part of the model.
        profiled: the steps under torch.profiler; None where none are to be.
        stride: every so many timesteps are marked in one step; chosen when the warm-up ends, by the
            time of its last step.
    """

    # Slots: the hooks read some of these in every step, from caches that the step has emptied.
    __slots__ = (
        "_began_ns", "_driver", "_marks", "_metering", "_next_kind", "_optimizers", "_unstepped",
        "at_complete", "at_end", "at_explored", "attentive", "choose_stride", "compiled",
        "counting", "device", "device_clock", "enter", "explored", "explorer", "fetches",
        "inference", "inside_backward", "inside_root", "iteration", "leave", "loaders", "loops",
        "made", "marking", "marks", "on", "optimizer_classes", "options", "plain_end", "profiled",
        "span", "stepping", "stride", "then_bounded", "trained", "updated", "warmup",
    )  # fmt: skip

    def __init__(self, options: AttachOptions) -> None:
        super().__init__()
        self.options = options
        self.explored = EXPLORED
        self.warmup = max(options.warmup, EXPLORED + 1)
        self.on = self.attentive = True
        self.updated = self.inside_root = self.inside_backward = self.marking = False
        self.made = MadeOptimizers()
        self._unstepped = 0
        self.optimizer_classes: set[type] = set()
        self.stepping: set[int] = set()
        self.explorer: Explorer | None = None
        self.marks: Marks | None = None
        self._marks: Marks | None = None
        self.loops: list[DiscoveredLoop] = []
        self.profiled: ProfiledSteps | None = None
        self.counting: PhaseOperations | None = None
        self.compiled = False
        self.device_clock: DeviceClock | None = None
        self.iteration = -1
        self.stride = 1
        self.device: Callable[[], torch.device] = lambda: torch.device("cpu")
        self.choose_stride: Callable[[float], int] = lambda _step_s: 1
        self._began_ns, self._next_kind, self.plain_end = 0, WARMUP, 0
        self.then_bounded = self._metering = self.trained = self.inference = False
        self.at_end: Callable[[], None] = lambda: None
        self.at_complete: Callable[[UpdateSign], None] = lambda _sign: None
        self.at_explored: Callable[[], None] = lambda: None
        self._optimizers: list[int] = []
        self.fetches = TrainedLoaders()
        self.loaders = self.fetches.known
        self._driver: int | None = None
        name = f"rank{os.environ.get('RANK', '0')}.{os.getpid()}{options.ending}"
        self.recorder = Recorder(options.folder, name, full=lambda: self.close("full"))
        recorder = self.recorder
        self.span, self.enter, self.leave = recorder.span, recorder.enter, recorder.leave

    # --- what comes once in a step -------------------------------------------------------------

    def fetches_plainly(self) -> bool:
        """A batch that is trained on is asked for; whether there is nothing else to be done."""
        if not self.attentive:
            return True
        if not (self.updated and self.then_bounded):
            return False
        # An iteration begins that is bounded, after one that leaves nothing to be taken down.
        self.updated = self.attentive = self.marking = False
        self.iteration = number = self.iteration + 1
        self._look_ahead(number + 1)
        self.leave(_ITERATION | number << _KEY)
        return True

    def at_fetch(self, key: int) -> None:
        """A batch is asked for, by the loop itself or by a thread that fetches ahead for it."""
        thread = get_ident()
        if self._driver not in (None, thread):
            return
        try:
            if self.updated and (key in self.loaders or not self.loaders):
                self._begin_iteration()
            if key not in self.loaders:
                self.fetches.fetch(key, thread)
                self.attentive = True
        except Exception as error:
            self.fail(error)

    def at_forward(self, grad: bool) -> None:
        """A root is called."""
        if grad:
            self.fetches.train(get_ident(), self.iteration)
        else:
            self.fetches.look()
            if not self.inference:
                return
        if self.updated and not self.loaders:
            self._begin_iteration()

    def after_forward(self) -> None:
        """A root has returned."""
        if self.counting is not None:
            self.counting.end("forward", then=None if self.inference else "loss")
        if self.marking and self.marks is not None and self.inference:
            self.marks.collect()
        if not self.trained and not self._awaits_optimizer():
            self.inference = True
            self.update()

    def _awaits_optimizer(self) -> bool:
        """Whether an iteration will end with an optimizer's step."""
        if self._optimizers or self._unstepped >= _PATIENCE:
            return bool(self._optimizers)
        return self.made.may_train(self.called_modules())

    def at_backward(self, outputs: Any) -> None:
        """A backward begins, the outermost, from ``outputs``."""
        try:
            self._first_backward()
            if self.updated and not self.loaders:
                self._begin_iteration()
            if self.explorer is not None:
                self.explorer.close_group(outputs)
            if self.marking and self.marks is not None:
                self.marks.register()
            if self.counting is not None:
                self.counting.begin("backward")
        except Exception as error:
            self.fail(error)

    def _first_backward(self) -> None:
        if self.trained:
            return
        self.trained, self._driver = True, get_ident()
        if self.inference:  # evaluation came first; this is a training loop
            self.inference = self.updated = self.then_bounded = False
            self.iteration, self._next_kind = -1, WARMUP
        if self.iteration < 0:
            self._begin_iteration()

    def after_backward(self) -> None:
        """The outermost backward has ended."""
        try:
            if self.counting is not None:
                self.counting.end("backward")
            if self.marking and self.marks is not None:
                self.marks.collect()
            self._unstepped += 1
            if not self._awaits_optimizer():
                self.update()
        except Exception as error:
            self.fail(error)

    def after_optimizer(self, key: int) -> None:
        """The last of the optimizers, in the order in which they came first, ends an iteration."""
        if key not in self._optimizers:
            self._optimizers.append(key)
        if key == self._optimizers[-1] or self.loaders:
            self.update()

    def end_optimizer(self, key: int, code: int, now: int) -> None:
        """Store the outermost step of an optimizer that has ended, begun at ``now``."""
        self.enter(code, now)
        self.after_optimizer(key)  # CPU time is read from here on where a metered step comes
        self.leave(code + 1)

    def broken(self, code: int, now: int) -> None:
        """An exception of the script leaves what began at ``now``, of which nothing is stored."""
        self.enter(code, now)
        self.left(code + 1)

    def update(self) -> None:
        """An iteration has its update; what comes next begins another."""
        self.updated = self.attentive = True
        if self._next_kind == METERED:
            self._meter(True)  # before what ends here is stamped: it ends and begins

    def step(self) -> None:
        """The program says that a step has ended here."""
        self.update()
        self.leave(int(Kind.STEP))

    def left(self, code: int) -> None:
        """An exception of the script leaves a hook: its traceback must not show us."""
        self.leave(code | int(Flag.FAILED) << 8)
        hide_own_frames()
        if self.counting is not None:
            self.counting.end(_COUNTED.get(code & 0xFF, ""))
        if self.marks is not None:
            self.marks.detach()

    # --- iterations ----------------------------------------------------------------------------

    def _begin_iteration(self) -> None:
        self.updated = False
        self.iteration = number = self.iteration + 1
        measured = number - self.warmup
        if measured <= 0:
            self._in_warmup(number, measured)
        elif measured >= self.options.steps:
            self._after_the_measured(number)
            return
        kind = self._next_kind
        self._look_ahead(number + 1)
        counts = self.counting is not None
        self.marking = (kind == PROBED or counts) and self.marks is not None
        if self.marks is not None and self.marking and not counts:
            self.marks.choose(self.stride, measured // ROUND)
        metered = kind == METERED
        self.attentive = (
            self.marking or metered or self.explorer is not None or counts or not self._optimizers
        )
        if self._metering or metered:
            self._meter(metered)
        self.then_bounded &= not (metered or counts)
        self.leave(_ITERATION | kind << _FLAGS | number << _KEY)

    def _look_ahead(self, number: int) -> None:
        """What the next iteration will be, so that as little as can be is asked when it begins."""
        self._next_kind = kind = kind_of(number, self.warmup)
        last = self._optimizers[-1] if self._optimizers and self.explorer is None else 0
        measured = self.warmup < number < self.warmup + self.options.steps
        self.then_bounded = not kind and measured and last > 0
        self.plain_end = last if kind != METERED else 0

    def _count_operations(self, number: int) -> None:
        """In the step after those in which modules were watched, unless the model is compiled.

        The last step of the warm-up tells how long a step is.
        """
        if self.counting is not None:
            self.counting.close()
            self.recorder.fact("operations", **self.counting.facts())
            self.counting = None
            self.marks, self._marks = self._marks, None
        elif number == self.explored and number + 1 < self.warmup and self._may_count:
            besides = ("optimizer",) if self.stepping else ()
            self.counting = PhaseOperations(self.device(), self.loops, besides)
            self._marks, self.marks = self.marks, self.counting.marks
        self.loops = []  # the script's modules are to live no longer for us

    @property
    def _may_count(self) -> bool:
        return self.options.operations and not self.compiled

    def _after_the_measured(self, number: int) -> None:
        """A few steps under the profiler, then the end."""
        self.marking = False
        self._meter(False)
        if self.profiled is not None and self.profiled.begin_step():
            self.leave(pack(Kind.ITERATION, Flag.PROFILED, key=number))
        else:
            self.close("complete")

    def _in_warmup(self, number: int, measured: int) -> None:
        """What is found out before anything is measured."""
        if number == self.explored and self.explorer is not None:
            if number < _MOST_EXPLORED and self.made.awaits(self.called_modules(), self.keys):
                self.explored, self.warmup = self.explored + 1, self.warmup + 1
            else:
                self.at_explored()
        self._count_operations(number)
        now = perf_counter_ns()
        if measured == 0 and self.marks is not None:
            self.stride = self.choose_stride((now - self._began_ns) * 1e-9)
        self._began_ns = now

    def _meter(self, wanted: bool) -> None:
        """Read CPU time, and the accelerator's clock, at each event from now on, or no longer."""
        clock, self._metering = self.device_clock, wanted
        self.recorder.read_cpu(wanted, clock.stamp if wanted and clock is not None else None)
        if clock is not None and not wanted:
            clock.end_step()

    # --- ends ----------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """A fault of ours: take everything out, say so, and leave the script alone."""
        if not self.on:
            return
        self.on = False
        try:
            self.recorder.fact("failed", error=f"{type(error).__name__}: {error}")
        except Exception:
            print(f"seqprof: stopped watching: {error!r}", file=sys.stderr)
        self._let_go()

    def close(self, why: str) -> None:
        """The window is over."""
        if not self.on:
            return
        self.on = False
        self.leave(pack(Kind.WINDOW))
        self.recorder.fact("closed", why=why)
        optimizer = self._optimizers[-1] if self._optimizers else None
        sign = UpdateSign.of(self, optimizer, bool(self.loaders), inference=self.inference)
        self._let_go()
        if why == "complete":
            self.at_complete(sign)
        if self.options.stop and why == "complete":
            raise SystemExit(0)

    def abandon(self) -> None:
        """In a forked child: record nothing; the files are the parent's."""
        self.on = False
        self.profiled = self.device_clock = None
        self._let_go()

    def _let_go(self) -> None:
        if self.marks is not None:
            self.marks.detach()
        if self.profiled is not None:
            self.profiled.finish()
        if self.device_clock is not None:
            self.device_clock.finish()
        if self.counting is not None:
            self.counting.close()
            self.counting = None
        self.explorer = None
        self.marking = False
        self.at_end()
        for callee in self.callees.values():
            callee.let_go()
        self.callees.clear()
        self.first_of_class.clear()
        self._known.clear()
