"""A profiled pass of an accelerator whose busy and idle seconds are given."""

from __future__ import annotations

from dataclasses import replace

from seqprof.recording import ProfiledPass, ProfiledPhase


def profiled(
    busy_s: float, window_s: float, causes: dict[str, float] | None = None
) -> ProfiledPass:
    """A profiled pass in which forward, backward and the step had the same.

    Args:
        busy_s: seconds of kernels.
        window_s: device window, slowed by the profiler.
        causes: cause to its share of the idle time; launches alone if None.
    """
    idle = window_s - busy_s
    part = ProfiledPhase(
        phase="forward",
        window_s=window_s,
        busy_s=busy_s,
        idle_s=idle,
        activities=400.0,
        idle_by_cause_s={cause: share * idle for cause, share in (causes or {"launch": 1}).items()},
    )
    phases = (part, replace(part, phase="backward"))
    return ProfiledPass(on="device", steps=3, wall_s=(0.03,) * 3, whole=part, phases=phases)
