"""Rounds of steps of each kind, and which timesteps the probed one marks.

::

    bare      |<---------------- one clock read at each end ---------------->|
    bounded   |  data | forward | loss | backward | optimizer  |   a clock read at each boundary
    probed    |  data | f·o·r·w·a·r·d | loss | b·a·c·k·w·a·r·d | …   marks at timesteps too
    metered   |  data | forward | …   CPU clocks of every thread at each boundary too
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from seqprof.instruments.clocks import NS, CpuClock, EventPool, host_clock_ns, synchronize
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.memory import held_bytes
from seqprof.instruments.phases import PhaseClock
from seqprof.instruments.stride import choose_stride, measure_mark_cost
from seqprof.instruments.timesteps import LoopMarks, TimestepProbe
from seqprof.measure.trial.collect import LatencyTable, loop_timings
from seqprof.recording import Clock, Incident, Step, StepKind
from seqprof.workloads.listeners import SILENCE, ForwardListener
from seqprof.workloads.step import TrainingStep

#: Pairs after which the stride is judged by what marks really cost.
_JUDGE_AFTER = 8
#: Of these, so many must be over budget (7 of 8 by chance alone: 3.5 %).
_OVER = 7
#: Marks that spend less than this share of their budget are set closer.
_LITTLE = 0.25


@dataclass(slots=True)
class StridePlan:
    """The stride now, and the evidence for another one.

    The first stride comes from the cost of a mark measured apart. Marks can cost more than that
    (caches, another thread's interpreter lock) or less, so the pairs themselves are judged as well.
    A stride that was once widened is not narrowed again.
    """

    stride: int
    largest: int
    budget: float
    fixed: bool
    ratios: list[float] = field(default_factory=list)
    widened: bool = False

    def judge(self, bare_s: float, probed_s: float) -> None:
        """Take in one pair; moves the stride when marks are clearly over or far below budget.

        Args:
            bare_s: time of the bare step, for each of its timesteps: those of the two may differ.
            probed_s: that of the probed step, likewise.
        """
        if self.fixed:
            return
        self.ratios.append(probed_s / bare_s)
        if len(self.ratios) < _JUDGE_AFTER:
            return
        over, above_half = (
            sum(ratio > 1 + share * self.budget for ratio in self.ratios) for share in (1.0, 0.5)
        )
        spent = (median(self.ratios) - 1) / self.budget
        self.ratios.clear()
        # A span needs two marks: stride k costs 2 / k of what marking everything costs.
        if over >= _OVER and self.stride < self.largest:
            self.stride = min(self.largest, math.ceil(max(2, self.stride) * spent))
            self.widened = True
        # Half the stride costs twice as much: what it costs now has to be below half the budget.
        elif not self.widened and above_half <= _JUDGE_AFTER - _OVER and spent < _LITTLE:
            narrower = math.ceil(self.stride / 2)
            self.stride = narrower if narrower > 2 else 1


class StepTimer:
    """Runs and times single steps of any kind.

    Args:
        step: the training step.
        device: where it runs.
        loops: timestep modules to mark in probed steps; may be empty.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(
        self,
        step: TrainingStep,
        device: torch.device,
        loops: Sequence[TimestepLoop],
        origin_ns: int,
    ) -> None:
        self._step = step
        self._device = device
        self._origin_ns = origin_ns
        self._loops = loops
        self.events = EventPool(device) if device.type != "cpu" else None
        self.cpu_clock = CpuClock()
        self._bounds = PhaseClock(self.events)
        self._meters = PhaseClock(self.events, self.cpu_clock)
        self._probe = TimestepProbe(loops, self.read)
        clocks: tuple[Clock, ...] = ("host",) if self.events is None else ("host", "device")
        self.table = LatencyTable(clocks)
        self._longest = step.timesteps
        #: Timesteps of the bare steps that were run, by their batch sizes.
        self._bare_lengths: dict[tuple[int, ...], list[int]] = {}
        self.incidents: list[Incident] = []
        self._without_gradients: set[str] = set()
        self._probed = 0

    @property
    def lengths(self) -> list[int]:
        """Timesteps of each bare step that was run with the most common batch size."""
        return max(self._bare_lengths.values(), key=len, default=[])

    @property
    def sizes_differ(self) -> bool:
        """Whether T or B differed between the bare steps."""
        return len({(b, t) for b, lengths in self._bare_lengths.items() for t in lengths}) > 1

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
        """Choose a stride; returns it with the cost of a mark.

        Args:
            bare_s: what an undisturbed step takes for each of its timesteps.
            stride: a number that is wanted, or ``auto``.
            budget: how much marks may slow a step.
        """
        if self.events is None:
            read: Any = host_clock_ns  # no Python call between the hook and the clock
        else:
            read = self.read
        self._probe = TimestepProbe(self._loops, read)
        cost = measure_mark_cost(self._device, read, self.reset_events)
        timesteps, batches = self._step.timesteps, self._step.micro_batches
        spans = sum(loop.positions(timesteps) for loop in self._loops)
        largest = max(loop.positions(timesteps) for loop in self._loops)
        chosen = (
            stride
            if isinstance(stride, int)
            else choose_stride(cost, batches * spans, largest, bare_s * batches * timesteps, budget)
        )
        plan = StridePlan(chosen, largest, budget, fixed=isinstance(stride, int))
        return plan, cost.mark_s

    def run(self, kind: StepKind, round_: int, stride: int | None = None) -> Step:
        """Run one step of a kind.

        Args:
            kind: what is recorded in it.
            round_: which round it is of.
            stride: of a probed step: every k-th timestep is marked.
        """
        clock = self._clock_of(kind)
        forwards = SILENCE if kind != "probed" or stride is None else self._marking(stride)
        synchronize(self._device)
        started_ns = host_clock_ns()
        try:
            result = self._step.run(clock or SILENCE, forwards)
        except BaseException:
            forwards.end_forward()  # what was being marked gets its own `forward` back
            raise
        synchronize(self._device)
        done_ns = host_clock_ns()
        held = held_bytes(self._device)
        marks = self._probe.marks if forwards is not SILENCE else []
        self._longest = max(self._longest, *result.timesteps)
        if kind == "bare":
            of_size = self._bare_lengths.setdefault(result.batch_sizes, [])
            of_size.append(sum(result.timesteps))
        for loop in marks:
            self.table.add(loop, result.timesteps, round_)
            self._check_calls(loop)
            self._check_gradients(loop)
        return Step(
            pair=round_,
            kind=kind,
            started_at_s=(started_ns - self._origin_ns) * NS,
            wall_s=(done_ns - started_ns) * NS,
            timesteps=result.timesteps,
            batch_sizes=result.batch_sizes,
            held_bytes=held,
            phases={} if clock is None else clock.timings(),
            loops=tuple(timing for loop in marks for timing in loop_timings(loop)),
            stride=stride if marks else None,
            loss=self._finite(float(result.loss)),
            positions=result.positions,
            padded_positions=result.padded_positions,
        )

    def _clock_of(self, kind: StepKind) -> PhaseClock | None:
        """What stamps the phases of a step of this kind, emptied; None in a bare one."""
        self.reset_events()
        if kind == "bare":
            return None
        clock = self._meters if kind == "metered" else self._bounds
        clock.clear()
        return clock

    def _marking(self, stride: int) -> ForwardListener:
        """Let the next step mark every ``stride``-th timestep, from an offset that moves on."""
        longest = max(loop.positions(self._longest) for loop in self._loops)
        self._probe.begin_step(stride, self._probed, longest)
        self._probed += 1
        return self._probe

    def _finite(self, loss: float) -> float | None:
        """The loss if it is a number; training that diverged is still timed, and it is said."""
        if math.isfinite(loss):
            return loss
        if not any(incident.kind == "loss_not_finite" for incident in self.incidents):
            self.incidents.append(Incident(kind="loss_not_finite", detail=f"the loss is {loss}"))
        return None

    def _check_gradients(self, marks: LoopMarks) -> None:
        """Say it once where a loop's forward is marked and its backward is not."""
        path = marks.loop.path
        segments = marks.segments
        entered = any(stamp is not None for one in segments for stamp in one.entries)
        seen = any(stamp is not None for one in segments for stamp in one.gradients)
        if entered and not seen and path not in self._without_gradients:
            self._without_gradients.add(path)
            self.incidents.append(Incident(kind="bptt_unmarked", detail=f"`{path}`"))

    def _check_calls(self, marks: LoopMarks) -> None:
        if not (marks.calls_beyond or marks.calls_missing):
            return
        if any(incident.kind == "marks_failed" for incident in self.incidents):
            return
        self.incidents.append(
            Incident(
                kind="marks_failed",
                detail=f"'{marks.loop.path}' was called {marks.calls_beyond} times more and "
                f"{marks.calls_missing} times less than {marks.loop.rule.words}",
            )
        )


def per_timestep_s(step: Step) -> float:
    """Time of a step for each of its timesteps."""
    return step.wall_s / max(1, sum(step.timesteps))


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
