"""Pairs of a bare and a probed step, and which timesteps the probed one marks."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from seqprof.instruments.clocks import NS, EventPool, host_clock_ns, synchronize
from seqprof.instruments.loops import Loop
from seqprof.instruments.phases import PhaseClock
from seqprof.instruments.stride import choose_stride, mask, measure_mark_cost
from seqprof.instruments.timesteps import LoopMarks, TimestepProbe
from seqprof.measure.collect import LatencyTable, loop_timings
from seqprof.recording import Clock, Incident, Step, StepKind
from seqprof.workloads.step import SILENCE, ForwardListener, TrainingStep

#: Pairs after which the stride is judged by what marks really cost.
_JUDGE_AFTER = 8
#: Of these, so many must be over budget (7 of 8 by chance alone: 3.5 %).
_OVER = 7


@dataclass(slots=True)
class StridePlan:
    """The stride now, and the evidence for a larger one.

    The first stride comes from the cost of a mark measured apart. Marks can cost more than that
    (caches, another thread's interpreter lock), so the pairs themselves are judged as well.
    """

    stride: int
    largest: int
    budget: float
    fixed: bool
    ratios: list[float] = field(default_factory=list)

    def judge(self, bare_s: float, probed_s: float) -> None:
        """Take in one pair; widens the stride when marks are clearly over budget."""
        if self.fixed or self.stride >= self.largest:
            return
        self.ratios.append(probed_s / bare_s)
        if len(self.ratios) == _JUDGE_AFTER:
            over = sum(ratio > 1 + self.budget for ratio in self.ratios)
            if over >= _OVER:
                excess = (median(self.ratios) - 1) / self.budget
                # A span needs two marks: stride k costs 2 / k of what marking everything costs.
                self.stride = min(self.largest, math.ceil(max(2, self.stride) * excess))
            self.ratios.clear()


class StepTimer:
    """Runs and times single steps, bare or probed.

    Args:
        step: the training step.
        device: where it runs.
        loops: timestep modules to mark in probed steps; may be empty.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(
        self, step: TrainingStep, device: torch.device, loops: Sequence[Loop], origin_ns: int
    ) -> None:
        self._step = step
        self._device = device
        self._origin_ns = origin_ns
        self._loops = loops
        self.events = EventPool(device) if device.type != "cpu" else None
        self.phases = PhaseClock(self.events)
        self.calls = calls_per_step(step, loops)
        self._probe = TimestepProbe(loops, self.calls, self.read)
        clocks: tuple[Clock, ...] = ("host",) if self.events is None else ("host", "device")
        self.table = LatencyTable(max(1, self.calls // step.micro_batches), clocks)
        self.incidents: list[Incident] = []

    def read(self) -> Any:
        """A stamp: host nanoseconds, on an accelerator with an event."""
        if self.events is None:
            return host_clock_ns()
        return host_clock_ns(), self.events.record()

    def reset_events(self) -> None:
        """Give the events of the last step back."""
        if self.events is not None:
            self.events.reset()

    def plan(self, bare_s: float, stride: int | str, budget: float) -> tuple[StridePlan, float]:
        """Choose a stride for steps of ``bare_s``; returns it with the cost of a mark."""
        if self.events is None:
            read: Any = host_clock_ns  # no Python call between the hook and the clock
        else:
            read = self.read
        self._probe = TimestepProbe(self._loops, self.calls, read)
        cost = measure_mark_cost(self._device, read, self.reset_events)
        largest = self.calls // self._step.micro_batches
        chosen = (
            stride
            if isinstance(stride, int)
            else choose_stride(cost, self.calls * len(self._loops), largest, bare_s, budget)
        )
        plan = StridePlan(chosen, largest, budget, fixed=isinstance(stride, int))
        return plan, cost.mark_s

    def run(self, kind: StepKind, pair: int, stride: int | None = None) -> Step:
        """Run one step; ``stride`` only where timesteps are to be marked."""
        self.phases.clear()
        self.reset_events()
        forwards: ForwardListener = SILENCE
        if stride is not None:
            chosen = mask(self.calls, stride, pair)
            self._probe.begin_step(chosen, chosen)
            forwards = CallIndices(self._probe, self._step, self._loops)
        synchronize(self._device)
        result = self._step.run(self.phases, forwards)
        synchronize(self._device)
        done_ns = host_clock_ns()
        marks = self._probe.marks if stride is not None else []
        for loop in marks:
            self.table.add(loop, pair)
            self._check_calls(loop)
        return Step(
            pair=pair,
            kind=kind,
            started_at_s=(self.phases.started_ns - self._origin_ns) * NS,
            wall_s=(done_ns - self.phases.started_ns) * NS,
            phases=self.phases.timings(),
            loops=tuple(timing for loop in marks for timing in loop_timings(loop)),
            stride=stride,
            loss=self._finite(float(result.loss)),
            positions=result.positions,
            padded_positions=result.padded_positions,
        )

    def _finite(self, loss: float) -> float | None:
        """The loss if it is a number; training that diverged is still timed, and it is said."""
        if math.isfinite(loss):
            return loss
        if not any(incident.kind == "loss_not_finite" for incident in self.incidents):
            self.incidents.append(Incident(kind="loss_not_finite", detail=f"the loss is {loss}"))
        return None

    def _check_calls(self, marks: LoopMarks) -> None:
        if not (marks.calls_beyond or marks.calls_missing):
            return
        if any(incident.kind == "marks_failed" for incident in self.incidents):
            return
        self.incidents.append(
            Incident(
                kind="marks_failed",
                detail=f"'{marks.loop.path}' was called {marks.calls_beyond} times more and "
                f"{marks.calls_missing} times less than once per timestep",
            )
        )


class CallIndices:
    """Turns the timesteps of a forward into indices of calls.

    They are the same unless the user named a module that is called another number of times.
    """

    def __init__(self, probe: TimestepProbe, step: TrainingStep, loops: Sequence[Loop]) -> None:
        self._probe = probe
        self._calls = loops[0].calls if loops[0].calls != step.timesteps else None
        self._done = 0

    def begin_forward(self, start: int, stop: int) -> None:
        if self._calls is not None:
            start, stop = self._done, self._done + self._calls
            self._done = stop
        self._probe.begin_forward(start, stop)

    def end_forward(self) -> None:
        self._probe.end_forward()


def calls_per_step(step: TrainingStep, loops: Sequence[Loop]) -> int:
    """Calls of each timestep module in one step, all micro-batches together."""
    return step.micro_batches * loops[0].calls if loops else 0


def fastest_step_s(walls: Sequence[float]) -> float:
    """Time of an undisturbed step, from warm-up steps: against it a budget must hold."""
    return min(walls)


@contextmanager
def settled_garbage() -> Iterator[None]:
    """Collect once, and leave what is alive out of later collections.

    The collector stays on, as in training; but a full collection over torch's own modules, which
    a longer run would meet once in a long while, would hit a few timed steps at random.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
