"""The latency behind a floor, measured on the simulated accelerator, whose kernels are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median

import pytest
from command_line import seqprof
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of

pytestmark = pytest.mark.sim


def chains(kernels: Sequence[truth.Interval]) -> list[float]:
    """Nanoseconds per addition, in each of the five chains of 1,000 after a first addition."""
    ends = [end for _, end in kernels[-5 * 1_001 :]]
    return [(ends[i + 1_000] - ends[i]) / 1_000 for i in range(0, len(ends), 1_001)]


@pytest.mark.parametrize("kernel_us", [20, 100])
def test_the_latency_is_the_devices_own(sim_env: SimEnvironment, kernel_us: int) -> None:
    env = sim_env(SIM_MIN_KERNEL_US=kernel_us)
    done = seqprof("depth", "rnn@cell", "--seq-len", "8", "--json", env=env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assumptions, [model] = document["assumptions"], document["models"]
    assert assumptions["latency_source"].startswith("measured on ")
    true_s = median(chains(truth.intervals(log_of(env), 0))) / 1e9
    assert assumptions["kernel_latency_s"] == pytest.approx(true_s, rel=0.05)
    assert true_s >= kernel_us * 1e-6
    floor = model["latency_floor_s"]
    assert floor["value"] == pytest.approx(
        model["at"]["step"]["depth_ops"] * assumptions["kernel_latency_s"]
    )
    assert "derived" in floor["method"]
