"""`seqprof run` on the simulated accelerator, whose truth is known; in a subprocess, as by a user.

The busy log that the simulator keeps is the truth; the command sees only events and NVML.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from command_line import kinds, run_json, seqprof
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of, torch_records_its_kernels

pytestmark = pytest.mark.sim

#: Host work in the forward leaves the device mostly idle there, and busy in the backward.
LOOP = """\
model:
  target: simaccel.models:lstm_cell_loop
  kwargs: {vocabulary: 256, hidden: 32, host_work_us: 2000.0}
data: {seq_len: 32, batch_size: 16}
measure: {pairs: 5, dwell_s: 2.0, timesteps: {stride: 1}}
"""
#: Short: for faults, where no figure matters.
SHORT = """\
model: {name: gru, execution: cell, hidden_size: 16}
data: {seq_len: 12, batch_size: 4}
measure: {pairs: 4, warmup: 2, dwell_s: 0.3, dwell_samples: 1}
"""
KERNEL_US = 150
#: Each of the simulated NVML's samples is an average of this time.
SAMPLE_S = 0.020


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    path = tmp_path / "loop.yaml"
    path.write_text(LOOP)
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(SHORT)
    return path


def true_busy(document: dict[str, Any], log: Path, start_s: float, end_s: float) -> float:
    """Busy fraction of device 0 between two times of the recording."""
    origin = document["recording"]["trials"][0]["clock_origin_ns"]
    start, end = (int(origin + s * 1e9) for s in (start_s, end_s))
    return truth.busy_ns(truth.intervals(log, 0), start, end) / (end - start)


def sampled(trial: dict[str, Any], dwell: dict[str, Any]) -> tuple[float, float]:
    """What the samples that count for a dwell are averages of: a step is idle first, then busy."""
    series = next(s for s in trial["samples"]["series"] if s["metric"] == "nvml_utilization")
    first = dwell["started_at_s"] + series["window_s"]
    inside = [at for at in series["at_s"] if first <= at <= dwell["ended_at_s"]]
    return inside[0] - SAMPLE_S, inside[-1]


def idle_of(document: dict[str, Any], phase: str) -> dict[str, Any]:
    found: dict[str, Any] = next(i for i in document["summary"]["idle"] if i["phase"] == phase)
    return found


def test_busy_device_latency_and_identity_against_the_truth(
    loop: Path, sim_env: SimEnvironment
) -> None:
    env = sim_env(SIM_MIN_KERNEL_US=KERNEL_US)
    document = run_json(loop, env=env)
    trial = document["recording"]["trials"][0]
    log = log_of(env)
    # The stream's thread may wait for a processor, which the trace then shows and the report says.
    assert kinds(document) <= {
        "profile_quality" if torch_records_its_kernels() else "profile_failed"
    }

    # Busy from dwell, within three points of what the device really did while it was sampled.
    for dwell in trial["dwells"]:
        true = true_busy(document, log, *sampled(trial, dwell))
        reported = idle_of(document, dwell["phase"])["nvml_utilization"]
        assert reported["value"] == pytest.approx(true, abs=0.03), dwell["phase"]
        assert reported["n"] >= 3
    assert (
        idle_of(document, "forward")["nvml_utilization"]["value"]
        < 0.7 * idle_of(document, "backward")["nvml_utilization"]["value"]
    )

    # The timesteps of a phase, on the device's clock, and what lies outside them make up the phase.
    probed = [step for step in trial["steps"] if step["kind"] == "probed"]
    for phase in ("forward", "backward"):
        latency = next(
            x for x in trial["latencies"] if x["phase"] == phase and x["clock"] == "device"
        )
        assert len(latency["mean_s"]) == 32
        whole = mean(step["phases"][phase]["device_s"] for step in probed)
        balance = next(
            b
            for b in document["summary"]["balances"]
            if (b["phase"], b["clock"]) == (phase, "device")
        )
        total = sum(latency["mean_s"]) + balance["remainder"]["value"]
        assert total == pytest.approx(whole, rel=0.02)
        assert balance["remainder"]["value"] < 0.2 * whole

    # The host issues the backward long before the device has done it; the two clocks are apart.
    backward = [step["phases"]["backward"] for step in trial["steps"] if step["phases"]]
    assert median(p["device_s"] for p in backward) > 3 * median(p["host_s"] for p in backward)
    # Each BPTT timestep launches several kernels, none of which is shorter than set.
    bptt = next(
        x for x in trial["latencies"] if x["phase"] == "backward" and x["clock"] == "device"
    )
    assert min(bptt["p50_s"]) > 2 * KERNEL_US * 1e-6


def test_phases_tile_the_step_on_the_devices_clock(short: Path, sim_env: SimEnvironment) -> None:
    document = run_json(short, env=sim_env())
    trial = document["recording"]["trials"][0]
    assert document["recording"]["environment"]["device"]["kind"] == "sim"
    for step in trial["steps"]:
        if step["kind"] == "bare":
            continue
        device = sum(phase["device_s"] for phase in step["phases"].values())
        assert 0 < device <= step["wall_s"] * 1.001
    memory = {a["phase"]: a for a in trial["accounts"]}
    assert memory["backward"]["memory_method"] == "allocator"
    assert memory["backward"]["peak_memory_bytes"] > 0
    assert memory["forward"]["operations"] > 12


def test_out_of_memory_at_the_first_step_is_one_message(
    short: Path, sim_env: SimEnvironment
) -> None:
    done = seqprof("run", short, "--set", "data.batch_size=256", env=sim_env(SIM_MEM_MB=1))
    assert done.returncode == 1
    assert "out of memory" in done.stderr
    assert "batch_size" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kernel_error_that_surfaces_late_keeps_the_steps_before(
    short: Path, sim_env: SimEnvironment
) -> None:
    # Measuring what a mark costs launches some 13,000 kernels before the first pair.
    env = sim_env(SIM_KERNEL_ERROR_AFTER=20_000)
    document = run_json(short, "--set", "measure.pairs=1000", env=env, exit_code=3)
    assert "device_failed" in kinds(document)
    assert document["recording"]["trials"][0]["steps"]


#: A model after whose fault the device answers nothing but that fault, as CUDA does.
LOST = """\
import traceback

import torch
from torch import nn

def dwelling():
    return any(frame.filename.endswith("dwell.py") for frame in traceback.extract_stack())

class Model(nn.Module):
    def __init__(self, when):
        super().__init__()
        self.when, self.lost = when, False
        self.embedding, self.rnn = nn.Embedding(256, 8), nn.GRU(8, 256, batch_first=True)

    def forward(self, tokens):
        profiled = torch.autograd.profiler._is_profiler_enabled
        self.lost |= profiled if self.when == "profile" else dwelling()
        if self.lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return self.rnn(self.embedding(tokens))[0]
"""


@pytest.mark.parametrize("when", ["dwell", "profile"])
def test_an_error_that_stays_costs_only_what_comes_after_it(
    tmp_path: Path, sim_env: SimEnvironment, when: str
) -> None:
    """In the profiled pass it is planted on the processor."""
    (tmp_path / "lost.py").write_text(LOST)
    config = tmp_path / "lost.yaml"
    config.write_text(
        f"model: {{target: lost:Model, kwargs: {{when: {when}}}}}\n"
        "data: {seq_len: 8, batch_size: 2}\n"
        "measure: {pairs: 3, warmup: 2, sweep: false, profile: true, dwell_s: 1.0, "
        "dwell_samples: 1}\n"
    )
    document = run_json(config, env=sim_env() if when == "dwell" else None, exit_code=3)
    assert "device_failed" in kinds(document)
    (trial,) = document["recording"]["trials"]
    assert len(trial["steps"]) >= 6
    assert trial["depth"]["depth_ops"] is None
    assert document["summary"]["step"]["value"] > 0


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({"NVMLSTUB_FAULT": "nvmlDeviceGetSamples:15:6"}, "gpu_lost"),
        ({"NVMLSTUB_FAULT": "nvmlInitWithFlags:18;nvmlInit_v2:18"}, "nvml_unavailable"),
        ({"NVMLSTUB_FAULT": "nvmlDeviceGetSamples:hang:4"}, "nvml_hang"),
        ({"NVMLSTUB_MIG": "1"}, "mig"),
    ],
)
def test_nvml_that_fails_leaves_the_run_standing(
    short: Path, sim_env: SimEnvironment, variables: dict[str, str], kind: str
) -> None:
    document = run_json(short, env=sim_env(**variables))
    assert kind in kinds(document)
    assert any(caveat["kind"] == kind for caveat in document["summary"]["caveats"])
    for phase in ("forward", "backward"):
        utilization = idle_of(document, phase)["nvml_utilization"]
        assert utilization["value"] is None
        assert utilization["reason"]
    assert len(document["recording"]["trials"][0]["steps"]) >= 6
