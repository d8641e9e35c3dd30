"""A trial in the making: what one model's bench has answered so far. Without torch.

At any time :meth:`Draft.trial` gives what there is, so an end in the middle (Ctrl-C, a signal, a
worker that died) keeps everything that was measured before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from seqprof.analysis.host_load import is_contended, join_loads
from seqprof.analysis.run.latencies import bounded, latencies_of, maps_of
from seqprof.measure.faults import Failure
from seqprof.measure.workers.messages import Dwelt, Prepared, StepsTaken, Swept, TimestepsTaken
from seqprof.recording import (
    DepthLaw,
    DeviceSamples,
    Dwell,
    HostLoad,
    Incident,
    PrefixPoint,
    ProfiledPass,
    Step,
    Trial,
    Workload,
)

NOT_REACHED = "the measuring ended before it"


@dataclass(slots=True)
class Draft:
    """What was measured of one model at one length and batch size."""

    prepared: Prepared | None = None
    workload: Workload | None = None
    warmup_wall_s: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    cpu_clock: Literal["threads", "process"] = "threads"
    timesteps: TimestepsTaken = field(default_factory=TimestepsTaken)
    sweep: tuple[PrefixPoint, ...] = ()
    sweep_reason: str | None = NOT_REACHED
    dwells: list[Dwell] = field(default_factory=list)
    samples: DeviceSamples = field(default_factory=DeviceSamples)
    loads: list[HostLoad] = field(default_factory=list)
    contended_rounds: list[int] = field(default_factory=list)
    depth: DepthLaw | None = None
    profile: ProfiledPass | None = None
    incidents: list[Incident] = field(default_factory=list)
    failure: Failure | None = None

    def add_prepared(self, made: Prepared) -> None:
        """Take in a model that is warm; again, where its worker had to be replaced."""
        self.prepared, self.workload = made, made.workload
        self.warmup_wall_s += made.warmup_wall_s
        self.timesteps = TimestepsTaken(reason=made.timesteps_reason)
        self.incidents += made.incidents

    def add_steps(self, taken: StepsTaken) -> None:
        """Take in the steps of one round."""
        self.steps += taken.steps
        self.warmup_wall_s += taken.settling_s
        if taken.cpu_clock == "process":  # one coarse round makes them all as coarse
            self.cpu_clock = "process"
        if taken.host is not None:
            self.loads.append(taken.host)
        if is_contended(taken.host):
            self.contended_rounds += sorted({step.pair for step in taken.steps})
        self.incidents += taken.incidents

    def add_sweep(self, swept: Swept) -> None:
        """Take in the steps over prefixes."""
        self.sweep, self.sweep_reason = swept.points, swept.reason
        self.incidents += swept.incidents

    def add_dwells(self, dwelt: Dwelt) -> None:
        """Take in repeated phases and the samples beside them."""
        self.dwells += dwelt.dwells
        self.samples = dwelt.samples
        self.incidents += dwelt.incidents

    def fail(self, failure: Failure, at_s: float | None = None) -> None:
        """Note why it is measured no further."""
        self.failure = failure
        self.add_incident(failure.kind, failure.detail, at_s)

    def add_incident(self, kind: str, detail: str, at_s: float | None = None) -> None:
        """Note something that a caveat must say."""
        self.incidents.append(Incident(kind=kind, detail=detail, at_s=at_s))

    def trial(self, workload: Workload, further: Iterable[Incident] = ()) -> Trial:
        """Return what there is.

        Args:
            workload: what was trained, or was to be.
            further: incidents of what was measured beside it.
        """
        made, samples = self.prepared, self.timesteps.samples
        bounded_samples = bounded(samples)
        return Trial(
            workload=workload,
            warmup_wall_s=tuple(self.warmup_wall_s),
            steps=tuple(self.steps),
            cpu_clock=self.cpu_clock,
            compile=made.compile if made else None,
            loops=made.loops if made else (),
            timestep_samples=bounded_samples,
            latencies=latencies_of(samples),
            latency_maps=() if bounded_samples else maps_of(samples),
            timesteps_reason=self.timesteps.reason,
            mark_cost_s=self.timesteps.mark_cost_s,
            operations=made.operations if made else (),
            operations_by_length=made.operations_by_length if made else (),
            timestep_operations=made.timestep_operations if made else (),
            unflattened=made.unflattened if made else (),
            accounts=made.accounts if made else (),
            sweep=self.sweep,
            sweep_reason=self.sweep_reason,
            dwells=tuple(self.dwells),
            samples=self.samples,
            host=join_loads(self.loads),
            contended_rounds=tuple(self.contended_rounds),
            depth=self.depth or _no_depth(workload, self.failure),
            profile=self.profile,
            incidents=(*self.incidents, *further),
        )


def _no_depth(workload: Workload, failure: Failure | None) -> DepthLaw:
    reason = failure.detail if failure else NOT_REACHED
    return DepthLaw(timesteps=workload.timesteps, reason=reason)
