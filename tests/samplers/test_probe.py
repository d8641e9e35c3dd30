"""The one-off look at all GPUs, against the simulated NVML library."""

from pathlib import Path

import pytest
from nvml_fixtures import DEVICE_0, DEVICE_1, SetVariables

from seqprof.samplers import probe


def test_sees_every_gpu(nvml: SetVariables) -> None:
    nvml(reasons="0x40")
    seen = probe.look()
    assert (seen.driver, seen.nvml, seen.detail) == ("580.65.06", "13.580.65.06", None)
    assert [gpu.uuid for gpu in seen.gpus] == [DEVICE_0, DEVICE_1]
    assert seen.gpus[0].clock_event_reasons == 0x40
    assert seen.gpus[0].sm_clock_max_mhz == 1980
    assert seen.gpus[0].pids == []  # the simulated library lists whoever asks: that is no other
    assert seen.gpus[0].mig is False


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(18, "restart"), (4, "/dev/nvidia"), (9, "modprobe"), (999, "container")],
)
def test_a_refusal_comes_with_a_remedy(nvml: SetVariables, code: int, remedy: str) -> None:
    nvml(fault=f"nvmlInitWithFlags:{code}")
    seen = probe.look()
    assert seen.kind == "nvml_unavailable"
    assert seen.detail is not None
    assert f"code {code}" in seen.detail
    assert seen.remedy is not None
    assert remedy in seen.remedy


def test_a_gpu_that_refuses_does_not_hide_the_others(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetHandleByIndex_v2:4:1")
    first, second = probe.look().gpus
    assert first.failure is None
    assert second.failure is not None
    assert "code 4" in second.failure


def test_what_a_gpu_lacks_is_null(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetClockInfo:3;nvmlDeviceGetMigMode:3;nvmlDeviceGetTemperatureV:13")
    gpu = probe.look().gpus[0]
    assert gpu.sm_clock_mhz is None
    assert gpu.mig is None
    assert gpu.temperature_c == 34  # by the old call
    assert gpu.failure is None


def test_a_hanging_call_is_named(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetName:hang")
    seen = probe.look()
    assert seen.kind == "nvml_hang"
    assert seen.detail is not None
    assert "nvmlDeviceGetName" in seen.detail
    assert seen.remedy is not None


def test_a_probe_that_cannot_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seen = probe.look()
    assert seen.kind == "nvml_unavailable"
    assert seen.detail is not None
    assert "probe" in seen.detail
