"""A guard for each probe of a model: what fails costs one figure, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from seqprof.instruments.clocks import NS, host_clock_ns
from seqprof.measure.faults import device_is_lost, reason_of
from seqprof.recording import Incident
from seqprof.workloads.step import TrainingStep

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a probe of the model gave nothing."""

    reason: str


class Guard:
    """Runs probes of one model, and keeps what happened.

    Args:
        step: whose gradients are dropped after a failure.
        origin_ns: host clock that counts as time 0.
    """

    def __init__(self, step: TrainingStep, origin_ns: int) -> None:
        self._step, self._origin_ns = step, origin_ns
        self.incidents: list[Incident] = []

    def run(self, kind: str, probe: Callable[[], A]) -> A | Refusal:
        """Run a probe of the model; where it fails, note the reason and return it.

        Raises:
            Exception: the device is lost, and with it all that would follow.
        """
        try:
            return probe()
        except Exception as error:
            if device_is_lost(error):
                raise
            self._step.drop_gradients()
            return self.refuse(kind, reason_of(error))

    def refuse(self, kind: str, reason: str) -> Refusal:
        """Note that something was not done, and why."""
        at_s = (host_clock_ns() - self._origin_ns) * NS
        self.incidents.append(Incident(kind=kind, detail=reason, at_s=at_s))
        return Refusal(reason)
