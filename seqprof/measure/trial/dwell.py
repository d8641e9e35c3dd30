"""Repeat one phase alone until the device's slow counters have seen nothing else.

NVML's utilization covers 1/6 s to 1 s, far more than a phase of a millisecond step. Reads labelled
with the phase that happened to run are worthless; a phase repeated for seconds is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch

from seqprof.errors import first_line
from seqprof.instruments.clocks import NS, host_clock_ns, synchronize
from seqprof.instruments.torch_bridge import make_event
from seqprof.measure.faults import device_is_lost, kind_of
from seqprof.measure.workers.messages import DwellPhase
from seqprof.recording import Dwell
from seqprof.spec import MeasureSpec
from seqprof.workloads.step import TrainingStep

#: A dwell that still lacks fresh samples after this many times ``dwell_s`` (plus this many
#: seconds) gives up.
_PATIENCE, _PATIENCE_S = 3.0, 3.0
_UTILIZATION = "nvml_utilization"
#: Repetitions that the host may be ahead of the device: enough that the device never waits for
#: the loop, few enough that memory and the end of the dwell stay bounded.
_AHEAD = 2

Repeat = Callable[[], object]


class SampleSource(Protocol):
    """What a dwell asks of the sampler."""

    def fresh_samples(self, metric: str, start_s: float, end_s: float) -> int:
        """Samples of ``metric`` whose whole window lies between the two times."""

    def why_absent(self, metric: str) -> str | None:
        """Why no more samples of ``metric`` will come; ``None`` as long as they may."""


def dwells(
    step: TrainingStep,
    device: torch.device,
    sampler: SampleSource,
    measure: MeasureSpec,
    origin_ns: int,
    wanted: Sequence[DwellPhase] = ("forward", "backward", "step"),
) -> Iterator[Dwell]:
    """Dwell on the forward, the backward and the whole step, or on those of them that are wanted.

    A phase that cannot be repeated alone (a compiled graph that may be walked only once) yields a
    dwell with the reason instead.
    """
    prepares: dict[DwellPhase, Callable[[], Repeat]] = {
        "forward": lambda: _forward_alone(step),
        "backward": lambda: _backward_alone(step),
        "step": lambda: step.run,
    }
    for phase in wanted:
        yield _dwell(phase, prepares[phase], device, sampler, measure, origin_ns)
        step.drop_gradients()


def _forward_alone(step: TrainingStep) -> Repeat:
    batch = step.next_batch()

    def repeat() -> None:
        step.forward(batch)

    return repeat


def _backward_alone(step: TrainingStep) -> Repeat:
    batch = step.next_batch()
    loss = step.loss(step.forward(batch)[0], batch)

    def repeat() -> None:
        step.backward(loss, retain_graph=True)
        step.drop_gradients()

    return repeat


def _dwell(
    phase: DwellPhase,
    prepare: Callable[[], Repeat],
    device: torch.device,
    sampler: SampleSource,
    measure: MeasureSpec,
    origin_ns: int,
) -> Dwell:
    def now_s() -> float:
        return (host_clock_ns() - origin_ns) * NS

    repeats, reason = 0, None
    synchronize(device)
    start = now_s()
    try:
        repeat = prepare()
        repeat()
        synchronize(device)
        sampler.fresh_samples(_UTILIZATION, 0.0, 0.0)  # takes in what has come until now
        start = last_look = now_s()
        ahead: deque[torch.Event] = deque()
        while True:
            repeat()
            repeats += 1
            ahead.append(_mark(device))
            if len(ahead) > _AHEAD:
                ahead.popleft().synchronize()
            elapsed = now_s() - start
            if elapsed < measure.dwell_s or now_s() - last_look < measure.sample_interval_s:
                continue
            last_look = now_s()
            if _is_enough(sampler, start, last_look, measure):
                break
        synchronize(device)
    except Exception as error:
        if device_is_lost(error):
            raise
        short = kind_of(error) == "out_of_memory"
        what = "out of memory" if short else f"{phase} cannot be repeated alone"
        reason = f"{what}: {first_line(error)}"
    return Dwell(
        phase=phase, started_at_s=start, ended_at_s=now_s(), repeats=repeats, reason=reason
    )


def _is_enough(sampler: SampleSource, start_s: float, now_s: float, measure: MeasureSpec) -> bool:
    """Whether a dwell that has lasted ``dwell_s`` may end."""
    if now_s - start_s > _PATIENCE * measure.dwell_s + _PATIENCE_S:
        return True
    if sampler.why_absent(_UTILIZATION) is not None:
        return True  # power and energy may still come, and need no more than dwell_s
    return sampler.fresh_samples(_UTILIZATION, start_s, now_s) >= measure.dwell_samples


def worth_dwelling(sampler: SampleSource) -> bool:
    """Whether the sampler can still tell anything about a phase."""
    metrics = (_UTILIZATION, "power_w", "sm_active")
    return any(sampler.why_absent(metric) is None for metric in metrics)


def _mark(device: torch.device) -> torch.Event:
    event = make_event(device)
    event.record()
    return event
