"""What a recording keeps of what was read beside the steps: the device's sensors, the host's load.

Part of :mod:`seqprof.recording`, from which its names are imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSeries:
    """Readings of one quantity that a sampler took beside the steps, in order of time."""

    metric: Annotated[
        str,
        Meta(
            description="nvml_utilization, nvml_memory_utilization, sm_active, sm_occupancy "
            "(ratios 0..1), memory_used_bytes, power_w, energy_j, sm_clock_hz, memory_clock_hz, "
            "temperature_c, clock_event_reasons (bit mask)"
        ),
    ]
    source: Annotated[str, Meta(description="the NVML call that gave it")]
    at_s: tuple[float, ...]
    value: tuple[float, ...]
    window_s: Annotated[
        float | None,
        Meta(description="each value covers this long before its time; null for a momentary one"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLatency:
    """How long a sampler's calls took."""

    call: str
    calls: int
    median_s: float
    maximum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSamples:
    """All that the device sampler brought home."""

    series: tuple[SampleSeries, ...] = ()
    latencies: tuple[CallLatency, ...] = ()
    mig: bool = False
    other_processes: Annotated[
        int | None, Meta(description="other processes on the device; null if not known")
    ] = None
    reason: Annotated[
        str | None, Meta(description="why there are no samples at all; null if there are")
    ] = None
    absent: Annotated[
        dict[str, str], Meta(description="metric to the reason why there are no readings of it")
    ] = field(default_factory=dict)


NO_SAMPLES = DeviceSamples()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLoad:
    """The host over the measurement: differences of /proc counters."""

    window_s: float
    process_cpu_s: float
    machine_busy_s: Annotated[
        float | None, Meta(description="CPU time of all processes on all cores")
    ]
    steal_s: Annotated[
        float | None, Meta(description="CPU time that the hypervisor gave to others")
    ]
    involuntary_switches: int | None
    load_average_1m: float | None
    run_delay_s: Annotated[
        float | None,
        Meta(description="time that this process's threads were ready, and waited for a processor"),
    ] = None
    children_cpu_s: Annotated[
        float | None,
        Meta(description="CPU time of processes that this one started, as a loader's workers"),
    ] = None

    @property
    def others_s(self) -> float | None:
        """CPU time of programs that are none of the user's training; None where it is not known."""
        if self.machine_busy_s is None:
            return None
        return max(0.0, self.machine_busy_s - self.process_cpu_s - (self.children_cpu_s or 0.0))
