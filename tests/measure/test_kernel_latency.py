"""The latency behind a floor, measured on the simulated accelerator, whose kernels are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pytest
import torch
from command_line import run_json, seqprof
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of

from seqprof.measure.trial.kernel_latency import measure_kernel_latency, measure_replayed_latency

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
        model["recorded"]["on_device"]["depth_ops"] * assumptions["kernel_latency_s"]
    )
    assert "derived" in floor["method"]


@pytest.mark.parametrize("model", ["lstm@cell", "gru@cell"])
def test_no_measured_step_is_below_its_floor(
    sim_env: SimEnvironment, tmp_path: Path, model: str
) -> None:
    """The device merges what a cell is made of; a chain of the unmerged would be a false floor."""
    size = ("--seq-len", "12", "--batch", "2", "--hidden", "8")
    settings = ("pairs=3", "sweep=false", "profile=false", "dwell_s=0.1", "dwell_samples=1")
    env = sim_env(SIM_MIN_KERNEL_US=200, OMP_NUM_THREADS=1)
    sets = [word for setting in settings for word in ("--set", f"measure.{setting}")]
    ran = run_json(model, *size, *sets, env=env)
    phases = {phase["phase"]: phase for phase in ran["summary"]["phases"]}
    counted = sum(phases[p]["operations"]["value"] for p in ("forward", "loss", "backward"))
    config = tmp_path / "model.yaml"
    config.write_text(f"""
model: {{name: {model.split("@")[0]}, execution: cell, hidden_size: 8}}
data: {{batch_size: 2}}
""")
    done = seqprof("depth", config, "--seq-len", "12", "--json", env=env)
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)["models"]
    own, unmerged = found["recorded"]["on_device"], found["at"]["step"]
    assert own["depth_ops"] < 0.7 * unmerged["depth_ops"]
    assert own["work_ops"] <= counted  # what run counted holds the loss of data's own form too
    assert found["latency_floor_s"]["value"] < ran["summary"]["step"]["value"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_a_replayed_chain_waits_for_no_dispatch() -> None:
    device = torch.device("cuda")
    replayed = measure_replayed_latency(device)
    launched = measure_kernel_latency(device)
    assert replayed is not None
    assert launched is not None
    assert replayed < launched
