"""Does the device wait for the host? From latencies, and from what tells that the device idles."""

from __future__ import annotations

import pytest
from example_recordings import accelerator, change_trial, latency, nvml_failed
from planted_pass import profiled

from seqprof.analysis.run.launch_bound import LaunchBound
from seqprof.analysis.run.summary import summarise
from seqprof.recording import Recording


def bound(made: Recording) -> dict[str, LaunchBound]:
    return {found.phase: found for found in summarise(made).launch_bound}


def test_host_beyond_device_is_launch_bound_unless_the_device_is_busy() -> None:
    found = bound(accelerator())
    assert found["forward"].share == 1.0
    assert found["forward"].holds is True
    assert found["forward"].busy_source == "nvml_utilization"
    assert found["backward"].holds is False  # NVML: 92 % busy; the full queue holds the host back


def test_without_nvml_and_timeline_it_is_not_known() -> None:
    """A launch queue that is full makes host and device latency equal, too."""
    made = nvml_failed()
    assert {found.holds for found in bound(made).values()} == {None}
    summary = summarise(made)
    kinds = {caveat.kind for caveat in summary.caveats}
    assert "launch_bound_unknown" in kinds
    assert "launch_bound" not in kinds
    assert "launch-bound" not in " ".join(summary.verdict.sentences)


@pytest.mark.parametrize(
    ("busy_s", "cause", "holds"),
    [
        (0.0015, "launch", True),
        (0.0068, "launch", False),  # of 7.0 ms: busy, so the queue was full
        (0.0015, "data", False),  # idle, but for another reason
        (0.0015, "sync", False),
    ],
)
def test_where_nvml_is_null_the_timeline_tells(busy_s: float, cause: str, holds: bool) -> None:
    found = bound(change_trial(nvml_failed(), profile=profiled(busy_s, 0.014, {cause: 1.0})))[
        "forward"
    ]
    assert found.busy_source == "busy_fraction"
    assert found.holds is holds


def test_waits_that_the_profiler_may_have_made_are_not_blamed_on_the_host() -> None:
    """Of 7.0 ms 5.0 are busy; under the profiler, which slows launches, it is 5.0 of 14."""
    made = change_trial(nvml_failed(), profile=profiled(0.0050, 0.014, {"launch": 1.0}))
    assert bound(made)["forward"].holds is None
    caveats = {caveat.kind: caveat for caveat in summarise(made).caveats}
    assert "launch_bound" not in caveats
    assert "the profiler made the forward 2.0x as long" in caveats["launch_bound_unknown"].text
    unslowed = change_trial(nvml_failed(), profile=profiled(0.0050, 0.007, {"launch": 1.0}))
    assert bound(unslowed)["forward"].holds is True


def test_a_host_that_runs_ahead_is_not_launch_bound() -> None:
    made = change_trial(
        nvml_failed(),
        latencies=(latency("forward", 4e-5), latency("forward", 1e-4, clock="device")),
    )
    assert bound(made)["forward"].holds is False
