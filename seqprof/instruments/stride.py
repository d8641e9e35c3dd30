"""Which timesteps to mark in a step, so that marks stay within their budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.instruments.loops import TimestepLoop
from seqprof.instruments.timesteps import TimestepProbe

#: Length of the chain on which the cost of a mark is measured, and how often. The median of the
#: differences within a try counts: the least of each may come from two speeds of the processor.
_CHAIN, _TRIES = 200, 11
#: Between two timesteps of a real model the code of a mark has left the processor's caches; a mark
#: then cost 3 to 11 times as much as in the chain (LSTM cell, batch 1 to 16, hidden 32 to 256).
#: That is Python's part alone: an accelerator's driver, which takes most of a mark there, is called
#: for every launch between two marks, and does not grow cold.
_COLD = 12.0


@dataclass(frozen=True, slots=True)
class MarkCost:
    """Host time that marking adds, measured on a chain of trivial operations.

    Attributes:
        call_s: of each call of a timestep module, marked or not.
        mark_s: of one timestep's forward and backward marks together, on top of that.
        driver_s: what the device's events take of `mark_s`; 0 on the processor.
    """

    call_s: float
    mark_s: float
    driver_s: float = 0.0

    def of_step(self, calls: int, stride: int) -> float:
        """Expected cost in one step. A span needs two marks, so stride 2 saves nothing."""
        mark_s = self.driver_s + _COLD * (self.mark_s - self.driver_s)
        return calls * (self.call_s + mark_s * min(1.0, 2.0 / stride))


class _Link(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def measure_mark_cost(
    device: torch.device, read: Callable[[], Any], reset: Callable[[], None]
) -> MarkCost:
    """Measure what a mark costs here and now.

    Args:
        device: where the marks will be taken.
        read: the probe's stamp function.
        reset: gives the stamps' events back after each try.
    """
    cost = _cost_of_chain(device, read, reset)
    if device.type == "cpu":
        return cost
    python = _cost_of_chain(torch.device("cpu"), host_clock_ns, lambda: None)
    return replace(cost, driver_s=max(0.0, cost.mark_s - python.mark_s))


def _cost_of_chain(
    device: torch.device, read: Callable[[], Any], reset: Callable[[], None]
) -> MarkCost:
    link = _Link()
    leaf = torch.zeros((), device=device, requires_grad=True)
    probe = TimestepProbe([TimestepLoop("link", link)], read)

    def chain(stride: int | None) -> float:
        if stride is not None:
            probe.begin_step(stride, 0, _CHAIN)
        synchronize(device)
        start = host_clock_ns()
        if stride is not None:
            probe.begin_forward(0, _CHAIN)
        x = leaf
        for _ in range(_CHAIN):
            x = link(x)
        probe.end_forward()
        x.backward()  # type: ignore[no-untyped-call]
        seconds = (host_clock_ns() - start) * NS
        synchronize(device)
        reset()
        return seconds

    every, least = 1, _CHAIN
    chain(every)
    tries = [(chain(None), chain(least), chain(every)) for _ in range(_TRIES)]
    return MarkCost(
        call_s=_added(unmarked - bare for bare, unmarked, _ in tries),
        mark_s=_added(marked - unmarked for _, unmarked, marked in tries),
    )


def _added(differences: Iterable[float]) -> float:
    return max(0.0, median(differences)) / _CHAIN


def choose_stride(cost: MarkCost, calls: int, timesteps: int, step_s: float, budget: float) -> int:
    """Smallest stride that keeps marks within ``budget`` (ratio) of a step.

    Args:
        calls: calls of all timestep modules in one step.
        timesteps: T, the largest stride there is.
        step_s: time of a bare step.
    """
    strides = (1, *range(3, timesteps))
    within = (s for s in strides if cost.of_step(calls, s) <= budget * step_s)
    return next(within, max(1, timesteps))
