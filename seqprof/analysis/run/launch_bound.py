"""Does the device wait for the host to launch work?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from seqprof.analysis.run.dwell import DwellSummary
from seqprof.analysis.run.idle import PhaseIdle
from seqprof.analysis.run.profile import profiled_phase
from seqprof.analysis.run.timesteps import LoopPhase
from seqprof.analysis.statistics import median
from seqprof.recording import ProfiledPass, Trial

#: With both taken at marks of one stream, host and device latency become equal when the device
#: waits for the host: host latency beyond this share of device latency counts as more …
HOST_LEADS = 0.95
#: … unless the device is known to be this busy: then a full queue holds the host back.
BUSY_DEVICE = 0.9
#: Where the profiler made a phase this much longer, it made the device wait for launches itself.
SLOWED = 1.1
#: A device less busy than this waits for something, slowed or not.
MOSTLY_IDLE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchBound:
    """Host (issue) latency against device latency of the same timesteps.

    A launch queue that is full (about 1,000 launches) holds the host up: its latency is then the
    device's, and the latencies alone look launch-bound. So the device must be seen idle as well.
    """

    loop: str
    phase: LoopPhase
    share: Annotated[
        float, Meta(description="of timesteps whose host latency > 0.95 x device latency")
    ]
    busy: Annotated[
        float | None,
        Meta(description="busy share of the phase's device; 0.9 or more: not launch-bound"),
    ] = None
    busy_source: Annotated[
        str | None, Meta(description="busy_fraction or nvml_utilization; null if neither is known")
    ] = None
    waits_for_launch: Annotated[
        float | None,
        Meta(description="share of the phase's idle time caused by launches; null if not known"),
    ] = None
    slowed: Annotated[
        float | None,
        Meta(description="device window under the profiler / time without it; null if not known"),
    ] = None
    host_s: float
    device_s: float

    @property
    def holds(self) -> bool | None:
        """Whether the timesteps are launch-bound; None where it is not known."""
        if self.share <= 0.5:
            return False
        if self.busy is None:
            return None
        if self.busy >= BUSY_DEVICE:
            return False
        if self.waits_for_launch is not None and self.waits_for_launch < 0.5:
            return False
        if self.slowed is not None and self.slowed > SLOWED and self.busy > MOSTLY_IDLE:
            return None
        return True


def compare_clocks(
    trial: Trial, dwells: Sequence[DwellSummary], idle: Sequence[PhaseIdle]
) -> tuple[LaunchBound, ...]:
    """Return host against device latency of every loop that has both."""
    device = {(x.loop, x.phase): x for x in trial.latencies if x.clock == "device"}
    bounds = []
    slowed = {part.phase: _slowed(part) for part in idle}
    for host in trial.latencies:
        other = device.get((host.loop, host.phase))
        if host.clock != "host" or other is None:
            continue
        both = [
            (h, d)
            for h, d in zip(host.p50_s, other.p50_s, strict=False)
            if h is not None and d is not None
        ]
        if both:
            busy, source = _device_busy(host.phase, dwells, idle)
            bounds.append(
                LaunchBound(
                    loop=host.loop,
                    phase=host.phase,
                    share=sum(h > HOST_LEADS * d for h, d in both) / len(both),
                    busy=busy,
                    busy_source=source,
                    waits_for_launch=_waits_for_launch(trial.profile, host.phase),
                    slowed=slowed.get(host.phase),
                    host_s=median(h for h, _ in both),
                    device_s=median(d for _, d in both),
                )
            )
    return tuple(bounds)


def _device_busy(
    phase: str, dwells: Sequence[DwellSummary], idle: Sequence[PhaseIdle]
) -> tuple[float | None, str | None]:
    """The timeline's busy share, which counts no gap; else NVML's, which may count small ones."""
    for part in idle:
        if part.phase == phase and part.busy_fraction.value is not None:
            return part.busy_fraction.value, "busy_fraction"
    for dwell in dwells:
        if dwell.phase == phase and dwell.nvml_utilization.value is not None:
            return dwell.nvml_utilization.value, "nvml_utilization"
    return None, None


def _slowed(part: PhaseIdle) -> float | None:
    """Both shares are of the same busy time, so theirs is that of the times."""
    busy, profiled = part.busy_fraction.value, part.profiled_busy_fraction.value
    return busy / profiled if busy and profiled else None


def _waits_for_launch(made: ProfiledPass | None, phase: str) -> float | None:
    part = profiled_phase(made, phase) if made is not None and made.reason is None else None
    if part is None or part.idle_s <= 0.0:
        return None
    return part.idle_by_cause_s.get("launch", 0.0) / part.idle_s
