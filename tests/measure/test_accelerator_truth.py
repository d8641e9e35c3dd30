"""Busy, idle and a step in a row on the simulated accelerator, against its busy log.

One model whose device waits for the host in the forward, one whose host waits for a full launch
queue. The profiler slows the host in both, as CUPTI does, and NVML counts small gaps as busy.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from command_line import run_json
from simaccel import truth
from simaccel_fixtures import SimEnvironment, log_of, needs_its_kernels

from seqprof.analysis.run.launch_bound import BUSY_DEVICE, MOSTLY_IDLE

pytestmark = [pytest.mark.sim, pytest.mark.timing]

MODEL = """\
model:
  target: simaccel.models:lstm_cell_loop
  kwargs: {{vocabulary: 256, hidden: 32, host_work_us: {host_us}}}
data: {{seq_len: {seq_len}, batch_size: 16}}
measure: {{pairs: 6, max_s: 10, sweep: false, dwell_s: 1.5, profile_steps: 5}}
"""
KERNEL_US = 300
#: Phases of many kernels; the others are too short for three points of them to be measured.
LONG = ("forward", "backward")
POINTS = 0.03
SHARE_OF_PHASE = 0.03


@dataclass(frozen=True)
class Measured:
    """A run on the simulated accelerator, and when its device really was busy."""

    document: dict[str, Any]
    log: list[truth.Interval]
    trace: Path

    @property
    def trial(self) -> dict[str, Any]:
        trial: dict[str, Any] = self.document["recording"]["trials"][0]
        return trial

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = self.document["summary"]
        return summary

    def of(self, table: str, phase: str) -> dict[str, Any]:
        row: dict[str, Any] = next(r for r in self.summary[table] if r["phase"] == phase)
        return row

    def busy_s(self, start_ns: float, end_ns: float) -> float:
        return truth.busy_ns(self.log, int(start_ns), int(end_ns)) * 1e-9

    def unprofiled(self, phase: str) -> list[tuple[float, float]]:
        """(device time, of which busy) of a phase in each bounded step, in s."""
        return [
            ((end - start) * 1e-9, self.busy_s(start, end))
            for step in self.trial["steps"]
            if step["kind"] == "bounded"
            for name, start, end in _device_windows(step, self.trial["clock_origin_ns"])
            if name == phase
        ]

    def profiled_busy_s(self, phase: str) -> float:
        """Mean busy time, by the log, of what a phase launched in the profiled steps."""
        with gzip.open(self.trace) as file:
            events = json.load(file)["traceEvents"]
        to_log_ns = time.monotonic_ns() - time.time_ns()
        windows = [e for e in events if e.get("name") == f"seqprof.{phase}" and e["ph"] == "X"][1:]
        kernels = {e["args"]["correlation"]: e for e in events if e.get("cat") == "kernel"}
        launches = [e for e in events if e.get("name") == "simLaunchKernel"]
        total = 0.0
        for window in windows:
            own = [
                kernels[launch["args"]["correlation"]]
                for launch in launches
                if window["ts"] <= launch["ts"] <= window["ts"] + window["dur"]
            ]
            start = min(k["ts"] for k in own) * 1e3 + to_log_ns
            end = max(k["ts"] + k["dur"] for k in own) * 1e3 + to_log_ns
            total += self.busy_s(start, end)
        return total / len(windows)

    def drift_s(self, phase: str) -> float:
        """How much longer, by the log, the kernels took in the profiled steps than in the others.

        A busy machine does that, whatever is measured on it.
        """
        return abs(self.profiled_busy_s(phase) - median(b for _, b in self.unprofiled(phase)))


def _device_windows(step: dict[str, Any], origin_ns: int) -> Iterator[tuple[str, float, float]]:
    """(phase, start, end) in ns on the log's clock: the phases tile the step."""
    start = origin_ns + step["started_at_s"] * 1e9
    for name, phase in step["phases"].items():
        end = start + phase["device_s"] * 1e9
        yield name, start, end
        start = end


@pytest.fixture(scope="module", params=["host_leads", "queue_is_full"])
def measured(
    request: pytest.FixtureRequest,
    sim_env: SimEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Measured:
    folder = tmp_path_factory.mktemp(request.param)
    host_us, seq_len = (8000, 12) if request.param == "host_leads" else (0, 24)
    config, trace = folder / "model.yaml", folder / "trace.json.gz"
    config.write_text(MODEL.format(host_us=host_us, seq_len=seq_len))
    env = sim_env(
        SIM_MIN_KERNEL_US=KERNEL_US, SIM_QUEUE=16, SIM_PROFILER_US=1000, NVMLSTUB_GAP_US=20,
        OMP_NUM_THREADS=1,
    )  # fmt: skip
    document = run_json(config, "--trace", trace, env=env)
    return Measured(document, truth.intervals(log_of(env), 0), trace)


@needs_its_kernels
@pytest.mark.parametrize("phase", LONG)
def test_busy_and_idle_by_the_timeline(measured: Measured, phase: str) -> None:
    real = measured.unprofiled(phase)
    length = median(time for time, _ in real)
    drift = measured.drift_s(phase)
    idle = measured.of("idle", phase)
    busy = median(busy / time for time, busy in real)
    assert idle["busy_fraction"]["value"] == pytest.approx(busy, abs=POINTS + drift / length)
    idle_s = median(time - busy for time, busy in real)
    assert idle["idle_time"]["value"] == pytest.approx(idle_s, abs=SHARE_OF_PHASE * length + drift)


@needs_its_kernels
def test_the_share_of_slowed_steps_is_kept_beside_it(measured: Measured) -> None:
    """A profiler that lengthens the host's part makes the device look idle."""
    real = median(busy / time for time, busy in measured.unprofiled("forward"))
    assert measured.of("idle", "forward")["profiled_busy_fraction"]["value"] < real - POINTS


@pytest.mark.parametrize("phase", LONG)
def test_busy_by_dwelling(measured: Measured, phase: str) -> None:
    dwell = next(d for d in measured.trial["dwells"] if d["phase"] == phase)
    origin = measured.trial["clock_origin_ns"]
    start, end = (origin + dwell[at] * 1e9 for at in ("started_at_s", "ended_at_s"))
    real = measured.busy_s(start, end) / ((end - start) * 1e-9)
    reported = measured.of("idle", phase)["nvml_utilization"]["value"]
    assert reported == pytest.approx(real, abs=POINTS)


def test_a_step_in_a_row(measured: Measured) -> None:
    """While steps follow each other, the device's own log says how long each takes."""
    dwell = next(d for d in measured.trial["dwells"] if d["phase"] == "step")
    origin = measured.trial["clock_origin_ns"]
    start, end = (origin + dwell[at] * 1e9 for at in ("started_at_s", "ended_at_s"))
    inside = [i for i in measured.log if start <= i[0] and i[1] <= end]
    real = (inside[-1][1] - inside[0][0]) * 1e-9 / dwell["repeats"]
    assert measured.of("dwells", "step")["per_repeat_s"] == pytest.approx(real, rel=0.02)


def test_launch_bound_only_where_the_device_waits(measured: Measured) -> None:
    """A host that a full queue holds up takes as long as the device, and is not what it awaits.

    Between the two it is not known: the profiler slows the host, so the device may wait for that.
    """
    busy = mean(busy / time for time, busy in measured.unprofiled("forward"))
    said = {caveat["kind"] for caveat in measured.summary["caveats"]}
    evidence = (busy, measured.summary["launch_bound"], measured.summary["idle"])
    if busy > BUSY_DEVICE - POINTS:
        assert "launch_bound" not in said, evidence
    elif busy < MOSTLY_IDLE - POINTS:
        assert "launch_bound" in said, evidence
    else:
        assert said & {"launch_bound", "launch_bound_unknown"}, evidence
