"""The device sampler against the simulated NVML library: real processes, the real pynvml."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from nvml_fixtures import DEVICE_0, DEVICE_1, SetVariables
from planted_log import duty, plant

from seqprof.analysis.run.dwell import fresh_samples
from seqprof.recording import Device, DeviceSamples, Incident, SampleSeries
from seqprof.samplers.device import DeviceSampler

METRICS = {
    "nvml_utilization",
    "nvml_memory_utilization",
    "power_w",
    "energy_j",
    "memory_used_bytes",
    "sm_clock_hz",
    "memory_clock_hz",
    "clock_event_reasons",
    "temperature_c",
    "sm_active",
    "sm_occupancy",
}
MS = 1_000_000


def sampler(uuid: str | None = DEVICE_0, kind: str = "cuda", origin_ns: int = 0) -> DeviceSampler:
    device = Device(kind=kind, name="simulated", index=0, uuid=uuid)
    return DeviceSampler(device, 0.05, origin_ns)


def wait_for(condition: Callable[[], object]) -> None:
    """However slow the machine is; the limit only keeps a failing test from running on."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def has_more_than(running: DeviceSampler, metric: str, samples: int) -> bool:
    """Or never will."""
    enough = running.fresh_samples(metric, 0, 1e9) > samples
    return enough or running.why_absent(metric) is not None


def metrics(samples: DeviceSamples) -> set[str]:
    return {one.metric for one in samples.series}


def series(samples: DeviceSamples, metric: str, source: str | None = None) -> SampleSeries:
    (found,) = [
        one
        for one in samples.series
        if one.metric == metric and (source is None or one.source == source)
    ]
    return found


def process_of(running: DeviceSampler) -> psutil.Process:
    assert running._process is not None
    return psutil.Process(running._process.pid)


def test_reads_everything(nvml: SetVariables) -> None:
    nvml()
    start = time.monotonic_ns()
    with sampler(origin_ns=start) as running:
        wait_for(lambda: running.fresh_samples("sm_active", 0, 1e9))
        samples, incidents, facts = running.finish()
    end_s = (time.monotonic_ns() - start) / 1e9

    assert incidents == ()
    assert (samples.reason, samples.absent, samples.mig) == (None, {}, False)
    assert metrics(samples) == METRICS
    for one in samples.series:
        assert len(one.at_s) == len(one.value)
        assert list(one.at_s) == sorted(set(one.at_s))
        assert 0 <= one.at_s[0] <= one.at_s[-1] <= end_s
    assert series(samples, "nvml_utilization").window_s == pytest.approx(1 / 6)
    assert set(series(samples, "sm_clock_hz").value) == {345e6}
    assert set(series(samples, "power_w").value) == {70.0}
    assert {latency.call for latency in samples.latencies} >= {"nvmlDeviceGetSamples"}
    assert all(0 < call.median_s <= call.maximum_s for call in samples.latencies)
    assert (facts.driver, facts.nvml) == ("580.65.06", "13.580.65.06")
    # The simulated library lists whoever asks, which is the sampler itself: there are no others.
    assert samples.other_processes == 0


def test_sampler_process_never_loads_torch(nvml: SetVariables) -> None:
    nvml()
    with sampler() as running:
        mapped = Path(f"/proc/{process_of(running).pid}/maps").read_text()
    assert "libnvidia-ml" in mapped
    assert "torch" not in mapped


@pytest.mark.parametrize("boot", [False, True], ids=["epoch stamps", "boot stamps"])
def test_utilization_follows_what_ran(nvml: SetVariables, boot: bool) -> None:
    log = nvml(**({"ts_boot": 1} if boot else {}))
    start = time.monotonic_ns()
    busy_from, half_from, idle_from = (start + ms * MS for ms in (600, 1200, 1800))
    plant(log, [(busy_from, half_from), *duty(half_from, idle_from, 20 * MS, 0.5)])
    with sampler(origin_ns=start) as running:
        wait_for(lambda: time.monotonic_ns() > idle_from + 500 * MS)
        samples, incidents, _ = running.finish()
    assert incidents == ()

    def inside(metric: str, first: int, last: int) -> list[float]:
        """Values that saw nothing but this time, with 40 ms to spare for the anchoring."""
        one = series(samples, metric)
        assert one.window_s is not None
        return [
            value
            for at, value in zip(one.at_s, one.value, strict=True)
            if at - one.window_s - 0.04 > (first - start) / 1e9 and at + 0.04 < (last - start) / 1e9
        ]

    for first, last, truth in (
        (busy_from, half_from, 1.0),
        (half_from, idle_from, 0.5),
        (idle_from, idle_from + 500 * MS, 0.0),
    ):
        values = inside("nvml_utilization", first, last)
        assert len(values) > 3
        assert values == pytest.approx([truth] * len(values), abs=0.011)
    assert max(series(samples, "sm_active").value) == pytest.approx(0.8, abs=0.05)  # as simulated
    assert max(series(samples, "energy_j").value) > min(series(samples, "energy_j").value)


def test_stamps_finer_than_the_window_admit_no_time_before_a_dwell(nvml: SetVariables) -> None:
    """The driver stamps every 20 ms what it averaged over 300 ms: the response shows it."""
    log = nvml(sample_window_us=300_000)
    start = time.monotonic_ns()
    busy_from, half_from, until = (start + ms * MS for ms in (600, 1400, 2200))
    plant(log, [(busy_from, half_from), *duty(half_from, until, 20 * MS, 0.5)])
    with sampler(origin_ns=start) as running:
        wait_for(lambda: time.monotonic_ns() > until)
        samples, incidents, _ = running.finish()
    assert incidents == ()
    utilization = series(samples, "nvml_utilization")
    assert utilization.window_s is not None
    assert 0.3 <= utilization.window_s < 0.4
    inside = fresh_samples(utilization, (half_from - start) / 1e9 + 0.02, (until - start) / 1e9)
    assert len(inside) > 5
    assert list(inside.values()) == pytest.approx([0.5] * len(inside), abs=0.02)


def test_a_driver_that_starts_slowly_is_waited_for(nvml: SetVariables) -> None:
    """2.5 s is what the supervisor takes for a hang; the call comes back, so it was none."""
    nvml(init_us=2_500_000)
    with sampler() as running:
        assert running._log.began
        assert running._log.facts is not None
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        _, incidents, _ = running.finish()
    assert incidents == ()


def test_fresh_samples_count_as_they_come(nvml: SetVariables) -> None:
    nvml()
    start = time.monotonic_ns()
    with sampler(origin_ns=start) as running:
        since_s = (time.monotonic_ns() - start) / 1e9
        assert running.fresh_samples("nvml_utilization", since_s, since_s + 0.001) == 0
        wait_for(lambda: running.fresh_samples("nvml_utilization", since_s, 1e9) >= 5)
        assert running.why_absent("nvml_utilization") is None


def test_device_is_matched_by_uuid_alone(
    nvml: SetVariables, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = nvml()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    now = time.monotonic_ns()
    plant(log, [(now - 1000 * MS, now + 3_600_000 * MS)], device=1, memory_used=4096)
    with sampler(DEVICE_0) as idle, sampler(DEVICE_1) as busy:
        for running in (idle, busy):
            wait_for(partial(has_more_than, running, "nvml_utilization", 3))
        idle_samples, busy_samples = idle.finish()[0], busy.finish()[0]
    assert set(series(idle_samples, "nvml_utilization").value) == {0.0}
    assert set(series(busy_samples, "nvml_utilization").value) == {1.0}
    assert set(series(busy_samples, "memory_used_bytes").value) == {4096.0}


def test_pci_bus_id_names_a_device_too(nvml: SetVariables) -> None:
    nvml()
    with sampler("00000000:21:00.0") as running:  # device 1 of the simulated library
        wait_for(lambda: running.fresh_samples("temperature_c", 0, 1e9))
        samples, incidents, _ = running.finish()
    assert incidents == ()
    assert samples.reason is None


def test_unknown_uuid(nvml: SetVariables) -> None:
    nvml()
    unknown = "GPU-00000000-0000-0000-0000-000000000000"
    with sampler(unknown, kind="xpu") as running:
        samples, (incident,), _ = running.finish()
    assert incident.kind == "nvml_unavailable"
    assert unknown in incident.detail
    assert "nvidia-smi -L" in incident.detail
    assert samples.reason is not None
    assert "this is xpu" in samples.reason


def test_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A file of that name that is no library hides a real one, should there be one.
    (tmp_path / "libnvidia-ml.so.1").write_text("")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    with sampler() as running:
        assert running.why_absent("nvml_utilization") is not None
        samples, (incident,), facts = running.finish()
    assert samples.series == ()
    assert samples.reason is not None
    assert "Library Not Found" in samples.reason
    assert incident.kind == "nvml_unavailable"
    assert "Remedy: install the NVIDIA driver" in incident.detail
    assert facts.driver is None


# Failing calls --------------------------------------------------------------------------------

CALLS = [
    "nvmlInitWithFlags",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetNVMLVersion",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetSamples",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetTemperatureV",
    "nvmlGpmQueryDeviceSupport",
    "nvmlGpmSampleAlloc",
    "nvmlGpmSampleGet",
    "nvmlGpmMetricsGet",
]
#: Reached only where the better call is not supported.
SUBSTITUTES = {
    "nvmlDeviceGetUtilizationRates": "nvmlDeviceGetSamples",
    "nvmlDeviceGetPowerUsage": "nvmlDeviceGetSamples",
    "nvmlDeviceGetMemoryInfo": "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetCurrentClocksThrottleReasons": "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetTemperature": "nvmlDeviceGetTemperatureV",
}
NOT_SUPPORTED, NO_PERMISSION, GPU_LOST, MISMATCH, UNKNOWN = 3, 4, 15, 18, 999
ENDS_ALL = {GPU_LOST, MISMATCH, UNKNOWN}
STARTING = {"nvmlInitWithFlags", "nvmlDeviceGetHandleByUUID"}


@pytest.mark.parametrize("call", [*CALLS, *SUBSTITUTES])
def test_any_error_of_any_call_is_survived_and_told(nvml: SetVariables, call: str) -> None:
    better = SUBSTITUTES.get(call)
    with contextlib.ExitStack() as stack:
        running = {}
        for code in (NOT_SUPPORTED, NO_PERMISSION, GPU_LOST, MISMATCH, UNKNOWN):
            nvml(fault=f"{call}:{code}" + (f";{better}:3" if better else ""))
            running[code] = stack.enter_context(sampler())
        # Longer than two GPM samples take; what is not read by then is said to be absent below.
        for one in running.values():
            wait_for(partial(has_more_than, one, "temperature_c", 8))
        for code, one in running.items():
            samples, incidents, _ = one.finish()
            stopped = code in ENDS_ALL or call in STARTING
            if stopped:
                (incident,) = incidents
                assert call.removesuffix("_v3") in incident.detail  # pynvml leaves it out
                assert f"code {code}" in incident.detail
                if code == GPU_LOST:
                    assert incident.kind == "gpu_lost"
                assert "Remedy" in incident.detail or code == NOT_SUPPORTED
            else:
                assert metrics(samples) | set(samples.absent) >= METRICS
                told = " ".join(incident.detail for incident in incidents)
                for metric, reason in samples.absent.items():
                    assert call in reason
                    assert (metric in told) == (code != NOT_SUPPORTED)
            assert all(one.value for one in samples.series)


def test_gpu_lost_half_way_keeps_what_was_read(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetTotalEnergyConsumption:15:5")
    with sampler() as running:
        wait_for(lambda: running.why_absent("energy_j"))
        samples, (incident,), facts = running.finish()
    assert incident.kind == "gpu_lost"
    assert incident.at_s is not None
    assert len(series(samples, "energy_j").at_s) == 5
    assert samples.reason is None
    assert samples.other_processes is None  # they could not be asked for at the end
    assert facts.driver == "580.65.06"


def test_a_quantity_that_ends_half_way_is_told(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetTotalEnergyConsumption:3:5")
    with sampler() as running:
        wait_for(lambda: running.why_absent("energy_j"))
        samples, (incident,), _ = running.finish()
    assert incident.kind == "nvml_error"
    assert "energy_j" in incident.detail
    assert len(series(samples, "energy_j").at_s) == 5
    assert metrics(samples) >= METRICS - {"sm_active", "sm_occupancy"}


def test_without_buffered_samples_the_plain_calls_are_read(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetSamples:3")
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("nvml_utilization", 0, 1e9))
        samples, incidents, _ = running.finish()
    assert incidents == ()
    utilization = series(samples, "nvml_utilization")
    assert utilization.source == "nvmlDeviceGetUtilizationRates"
    assert utilization.window_s == 1.0
    assert series(samples, "power_w").source == "nvmlDeviceGetPowerUsage"


def test_an_idle_device_without_samples_is_read_by_the_plain_calls(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetSamples:6")  # NOT_FOUND, again and again
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("nvml_utilization", 0, 1e9))
        samples, incidents, _ = running.finish()
    assert incidents == ()
    assert series(samples, "nvml_utilization").source == "nvmlDeviceGetUtilizationRates"


def test_transient_errors_are_retried(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetTotalEnergyConsumption:10:3")  # timeout, for good
    with sampler() as running:
        wait_for(lambda: running.why_absent("energy_j"))
        samples, (incident,), _ = running.finish()
    assert "failed 10 times" in incident.detail
    assert len(series(samples, "energy_j").at_s) == 3


INSTANCE_0 = DEVICE_0.replace("GPU-", "MIG-")
OTHERS_BYTES = 20 << 30


@pytest.mark.parametrize("found_by", ["the instance's UUID", "CUDA_VISIBLE_DEVICES"])
def test_of_a_mig_instance_only_its_own_figures_are_read(
    nvml: SetVariables, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    """The board's memory and SMs hold the other instances' too."""
    nvml(mig=1)
    by_variable = found_by == "CUDA_VISIBLE_DEVICES"
    if by_variable:  # CUDA gives the board's UUID
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", INSTANCE_0)
    with sampler(DEVICE_0 if by_variable else INSTANCE_0) as running:
        wait_for(lambda: running.fresh_samples("sm_active", 0, 1e9))
        samples, (incident,), _ = running.finish()
    assert samples.mig
    assert incident.kind == "mig"
    assert "MIG" in samples.absent["nvml_utilization"]
    assert max(series(samples, "memory_used_bytes").value) < OTHERS_BYTES
    assert set(series(samples, "sm_active").value) == {0.0}
    assert "power_w" in metrics(samples)


@pytest.mark.parametrize("visible", ["", "0", DEVICE_0, "MIG-GPU-5eb9f000/7/0", "MIG-unknown"])
def test_a_partitioned_board_does_not_stand_for_an_instance(
    nvml: SetVariables, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    nvml(mig=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("power_w", 0, 1e9))
        samples, (incident,), _ = running.finish()
    assert incident.kind == "mig"
    for metric in ("memory_used_bytes", "sm_active", "sm_occupancy", "nvml_utilization"):
        assert metric not in metrics(samples)
        assert metric in samples.absent
    assert "not known which instance" in samples.absent["memory_used_bytes"]
    assert samples.other_processes is None


def test_no_gpm_before_hopper(nvml: SetVariables) -> None:
    nvml(gpm=0)
    with sampler() as running:
        wait_for(lambda: running.why_absent("sm_active"))
        samples, incidents, _ = running.finish()
    assert incidents == ()
    assert "Hopper" in samples.absent["sm_active"]
    assert "Hopper" in samples.absent["sm_occupancy"]


# Hanging, dying, being in the wrong place -----------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["nvmlDeviceGetTotalEnergyConsumption:hang:3", "nvmlInitWithFlags:hang"]
)
def test_a_hanging_call_is_named_and_left(nvml: SetVariables, fault: str) -> None:
    nvml(fault=fault)
    with sampler() as running:
        process = process_of(running)
        wait_for(lambda: any(i.kind == "nvml_hang" for i in incidents_so_far(running)))
        _, (incident,), _ = running.finish()
    assert incident.kind == "nvml_hang"
    assert fault.split(":")[0] in incident.detail
    wait_for(lambda: not process.is_running())


def incidents_so_far(running: DeviceSampler) -> tuple[Incident, ...]:
    running.fresh_samples("energy_j", 0, 1)
    return running._log.incidents()


def test_a_call_that_hangs_at_the_end_is_named_too(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetComputeRunningProcesses_v3:hang:2")  # two calls a list
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        samples, (incident,), _ = running.finish()
    assert incident.kind == "nvml_hang"
    assert "energy_j" in metrics(samples)
    assert samples.other_processes is None


def test_a_sampler_that_does_not_answer_is_killed(nvml: SetVariables) -> None:
    nvml()
    with sampler() as running:
        process = process_of(running)
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        process.send_signal(signal.SIGSTOP)
        samples, (incident,), _ = running.finish()
    assert incident.kind == "nvml_hang"
    assert "energy_j" in metrics(samples)
    assert not process.is_running()


def test_a_sampler_that_is_killed_is_told(nvml: SetVariables) -> None:
    nvml()
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        process_of(running).kill()
        wait_for(lambda: running.why_absent("energy_j"))
        _, (incident,), _ = running.finish()
    assert incident.kind == "nvml_error"
    assert "status -9" in incident.detail


@pytest.mark.parametrize("heir", [False, True], ids=["alone", "a forked child keeps the pipe"])
def test_sampler_dies_with_its_parent(nvml: SetVariables, heir: bool) -> None:
    nvml()
    script = f"""
        import os, sys, time
        from seqprof.recording import Device
        from seqprof.samplers.device import DeviceSampler

        device = Device(kind="cuda", name="simulated", uuid={DEVICE_0!r})
        with DeviceSampler(device, 0.05, 0) as running:
            child = os.fork() if {heir} else 0
            if not {heir} or child:
                print(running._process.pid, child, flush=True)
            time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, child = map(int, parent.stdout.readline().split())
    process = psutil.Process(pid)
    try:
        parent.kill()
        parent.wait()
        wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.parametrize(
    ("file", "text", "kind"),
    [
        ("pynvml/__init__.py", "class NVMLError(Exception): pass", "wrong_pynvml"),
        ("pynvml.py", "version = '8'", "wrong_pynvml"),
        ("pynvml.py", "raise ImportError('broken')", "nvml_unavailable"),
    ],
)
def test_another_pynvml_is_detected(
    nvml: SetVariables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    text: str,
    kind: str,
) -> None:
    nvml()
    (tmp_path / "path" / file).parent.mkdir(parents=True)
    (tmp_path / "path" / file).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    with sampler() as running:
        samples, (incident,), _ = running.finish()
    assert incident.kind == kind
    assert "nvidia-ml-py" in incident.detail
    assert "Remedy" in incident.detail
    assert samples.reason is not None


def test_a_folder_with_misleading_files_does_no_harm(
    nvml: SetVariables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml()
    for name in ("pynvml.py", "select.py", "statistics.py", "msgspec.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        assert running.finish()[1] == ()


def test_ctrl_c_leaves_the_sampler_to_its_parent(nvml: SetVariables) -> None:
    nvml()
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        process_of(running).send_signal(signal.SIGINT)
        seen = running.fresh_samples("energy_j", 0, 1e9)
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9) > seen + 1)
        assert running.finish()[1] == ()


def test_on_the_cpu_nothing_is_started() -> None:
    with DeviceSampler(Device(kind="cpu", name="processor"), 0.05, 0) as running:
        assert running._process is None
        assert running.fresh_samples("nvml_utilization", 0, 1e9) == 0
        samples, incidents, _ = running.finish()
    assert samples == DeviceSamples(reason="no accelerator")
    assert incidents == ()


def test_an_accelerator_without_uuid_gives_the_reason() -> None:
    with sampler(None, kind="xpu") as running:
        samples, _, _ = running.finish()
    assert samples.reason is not None
    assert "UUID" in samples.reason


def test_where_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with sampler() as running:
        assert running.why_absent("power_w") is not None
        samples, (incident,), _ = running.finish()
    assert incident.kind == "nvml_unavailable"
    assert samples.reason == incident.detail


def test_finish_may_be_asked_twice_and_leaves_no_files(
    nvml: SetVariables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with sampler() as running:
        wait_for(lambda: running.fresh_samples("energy_j", 0, 1e9))
        assert list((tmp_path / "temporary").iterdir()) == []  # not even while it runs
        assert running.finish() is running.finish()
