"""When each timestep of one training step ran, forward and in BPTT: the picture of the chain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.analysis.explain.facts import Cascade
from seqprof.instruments.clocks import (
    NS,
    EventPool,
    event_pool,
    host_clock_ns,
    synchronize,
)
from seqprof.measure.faults import reason_of
from seqprof.measure.outcome import NoProgress
from seqprof.measure.trial.assembly import assemble
from seqprof.recording import LoopFacts, Phase, Recording
from seqprof.spec import Spec
from seqprof.workloads.step import TrainingStep
from seqprof.workloads.structures import leaves

#: Steps before the ones that are kept, and steps of which the middle one is.
_WARMUP, _STEPS = 2, 5


class _Watch:
    """Notes when a module is entered and left, and when the gradient of what it returned comes.

    Args:
        events: of the accelerator, whose clock then counts; None on the CPU.
    """

    def __init__(self, events: EventPool | None) -> None:
        self._events = events
        self._origin = self._now()
        self._starts: list[Any] = []
        self._ends: list[Any] = []
        self._gradients: dict[int, Any] = {}
        self._backward_at: Any = None
        self._ended_at: Any = None

    def _now(self) -> Any:
        return host_clock_ns() if self._events is None else self._events.record()

    def before(self, _module: nn.Module, _inputs: Any) -> None:
        self._starts.append(self._now())

    def after(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        number = len(self._ends)
        for _, leaf in leaves(output):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                hook = partial(self._came, number)
                leaf.register_hook(hook)  # type: ignore[no-untyped-call]
        self._ends.append(self._now())

    def _came(self, number: int, _gradient: Tensor) -> None:
        self._gradients.setdefault(number, self._now())

    def enter(self, phase: Phase) -> None:
        if phase == "backward" and self._backward_at is None:
            self._backward_at = self._now()
        if phase == "optimizer":
            self._ended_at = self._now()

    def end(self) -> None:
        pass

    def cascade(self, loop: LoopFacts) -> Cascade:
        """Return what was noted; the device must have completed it."""
        calls = len(self._ends)
        if calls != loop.timesteps:
            reason = f"{loop.loop} is called {calls} times for {loop.timesteps} timesteps"
            return Cascade(reason=reason)
        order = range(calls - 1, -1, -1) if loop.reverse else range(calls)
        return Cascade(
            clock="host" if self._events is None else "device",
            module=loop.loop,
            forward_s=tuple((self._s(self._starts[n]), self._s(self._ends[n])) for n in order),
            gradient_s=tuple(
                self._s(self._gradients[n]) if n in self._gradients else None for n in order
            ),
            backward_at_s=self._s(self._backward_at),
            ended_at_s=self._s(self._ended_at),
        )

    def _s(self, stamp: Any) -> float:
        """Seconds since the step's start; 0 where the step has no such stamp."""
        if stamp is None:
            return 0.0
        if self._events is None:
            return float(stamp - self._origin) * NS
        return self._events.seconds(self._origin, stamp)


def time_cascade(spec: Spec, folder: Path, device: torch.device, run: Recording | None) -> Cascade:
    """Run a few steps with hooks on the module that ``run`` found to be called once per timestep.

    Returns:
        The step of middle duration.
    """
    if run is None:
        return Cascade(reason="it was not measured")
    trial = run.trials[0]
    if not trial.loops:
        return Cascade(reason=trial.timesteps_reason or "no module is called once per timestep")
    loop = trial.loops[0]
    try:
        made = assemble(spec, folder, device, NoProgress())
        step = TrainingStep(made.built, spec, device)
        module = dict(step.model.named_modules()).get(loop.loop)
        if module is None:
            return Cascade(reason=f"{loop.loop} is no single module")
        events = event_pool(device)
        seen = [_watched(step, module, loop, events, device) for _ in range(_WARMUP + _STEPS)]
    except Exception as error:  # whatever the model does
        return Cascade(reason=reason_of(error))
    return sorted(seen[_WARMUP:], key=lambda one: one.ended_at_s)[_STEPS // 2]


def _watched(
    step: TrainingStep,
    module: nn.Module,
    loop: LoopFacts,
    events: EventPool | None,
    device: torch.device,
) -> Cascade:
    synchronize(device)
    if events is not None:
        events.reset()
    watch = _Watch(events)
    hooks = (
        module.register_forward_pre_hook(watch.before),
        module.register_forward_hook(watch.after),
    )
    try:
        step.run(watch)
    finally:
        for hook in hooks:
            hook.remove()
    synchronize(device)
    return watch.cascade(loop)
