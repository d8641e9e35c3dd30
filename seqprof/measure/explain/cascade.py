"""When each timestep of one training step ran, forward and in BPTT: the picture of the chain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.analysis.explain.facts import Cascade
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.measure.faults import reason_of
from seqprof.measure.outcome import NoProgress
from seqprof.measure.trial.assembly import assemble
from seqprof.recording import Phase, Recording
from seqprof.spec import Spec
from seqprof.workloads.step import TrainingStep
from seqprof.workloads.structures import leaves

#: Steps before the ones that are kept, and steps of which the middle one is.
_WARMUP, _STEPS = 2, 5


class _Watch:
    """Notes when a module is entered and left, and when the gradient of what it returned comes."""

    def __init__(self) -> None:
        self.origin_ns = host_clock_ns()
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.gradients: dict[int, float] = {}
        self.backward_at_s = self.ended_at_s = 0.0

    def now(self) -> float:
        return (host_clock_ns() - self.origin_ns) * NS

    def before(self, _module: nn.Module, _inputs: Any) -> None:
        self.starts.append(self.now())

    def after(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        number = len(self.ends)
        for _, leaf in leaves(output):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                hook = partial(self._came, number)
                leaf.register_hook(hook)  # type: ignore[no-untyped-call]
        self.ends.append(self.now())

    def _came(self, number: int, _gradient: Tensor) -> None:
        self.gradients.setdefault(number, self.now())

    def enter(self, phase: Phase) -> None:
        if phase == "backward" and not self.backward_at_s:
            self.backward_at_s = self.now()
        if phase == "optimizer":
            self.ended_at_s = self.now()

    def end(self) -> None:
        pass


def time_cascade(spec: Spec, folder: Path, device: torch.device, run: Recording | None) -> Cascade:
    """Run a few steps with hooks on the module that ``run`` found to be called once per timestep.

    Returns:
        The step of middle duration; on an accelerator the times are those of the launches.
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
        watches = [_watched(step, module, device) for _ in range(_WARMUP + _STEPS)][_WARMUP:]
    except Exception as error:  # whatever the model does
        return Cascade(reason=reason_of(error))
    watch = sorted(watches, key=lambda one: one.ended_at_s)[_STEPS // 2]
    return _cascade(watch, loop.loop, loop.timesteps, reverse=loop.reverse)


def _watched(step: TrainingStep, module: nn.Module, device: torch.device) -> _Watch:
    synchronize(device)
    watch = _Watch()
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
    return watch


def _cascade(watch: _Watch, name: str, timesteps: int, *, reverse: bool) -> Cascade:
    calls = len(watch.ends)
    if calls != timesteps:
        return Cascade(reason=f"{name} is called {calls} times for {timesteps} timesteps")
    order = range(calls - 1, -1, -1) if reverse else range(calls)
    return Cascade(
        module=name,
        forward_s=tuple((watch.starts[n], watch.ends[n]) for n in order),
        gradient_s=tuple(watch.gradients.get(n) for n in order),
        backward_at_s=watch.backward_at_s,
        ended_at_s=watch.ended_at_s,
    )
