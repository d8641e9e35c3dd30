"""`seqprof doctor` as a user runs it: a subprocess, on machines of several kinds."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nvml_fixtures import SetVariables
from simaccel_fixtures import SimEnvironment

from seqprof.cli.doctor import checks as doctor_checks
from seqprof.cli.doctor.checks import cgroup_quota, paired_ratios
from seqprof.cli.doctor.gpu import nvml_checks
from seqprof.samplers.probe import Look


def doctor(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seqprof", "doctor", *arguments],
        env=env or dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )


def checks(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """By name; the whole of stdout must be JSON."""
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


@pytest.fixture
def no_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the library's name that is no library, should there be a real one."""
    folder = tmp_path / "no-nvml"
    folder.mkdir()
    (folder / "libnvidia-ml.so.1").write_text("")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))


@pytest.mark.usefixtures("no_nvml")
def test_without_a_gpu_one_can_measure() -> None:
    result = doctor("--json", "--device", "cpu")
    assert (result.returncode, result.stderr) == (0, "")
    found = checks(result)
    assert found["NVML"]["state"] == "note"
    assert "Library Not Found" in found["NVML"]["finding"]
    assert found["device"]["state"] == "ok"
    assert found["threads"]["state"] == "ok"
    assert "ns" in found["timer"]["finding"]
    assert "%" in found["load by others"]["finding"]
    difference = found["smallest difference"]["finding"]
    assert difference.startswith("±")
    assert "95 %" in difference
    assert json.loads(result.stdout)["can_measure"] is True


@pytest.mark.usefixtures("no_nvml")
def test_table_in_a_pipe_is_plain_and_80_wide() -> None:
    result = doctor("--device", "cpu")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout.replace("pairs=…", "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    for name in ("torch", "device", "NVML", "threads", "load by others", "timer"):
        assert f" {name} " in result.stdout
    assert "Measuring is possible" in result.stdout


@pytest.mark.usefixtures("no_nvml")
def test_a_torch_that_cannot_be_imported_prevents_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    result = doctor("--json")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert checks(result)["torch"]["state"] == "problem"
    assert "libcudart" in checks(result)["torch"]["finding"]
    assert json.loads(result.stdout)["can_measure"] is False


def test_gpus_that_a_cpu_only_torch_cannot_use(nvml: SetVariables) -> None:
    nvml()
    import torch

    if torch.version.cuda is not None:
        pytest.skip("this torch is built for CUDA")
    asked_for = doctor("--json", "--device", "cuda")
    assert asked_for.returncode == 1
    assert checks(asked_for)["device"]["state"] == "problem"
    assert "CUDA build of torch" in checks(asked_for)["device"]["remedy"]
    whatever = doctor("--json")
    assert whatever.returncode == 0
    assert checks(whatever)["device"]["state"] == "warning"
    assert "CUDA build of torch" in checks(whatever)["device"]["remedy"]


@pytest.mark.parametrize(
    ("release", "library", "state"),
    [
        ("5.15.167.4-microsoft-standard-WSL2", "12.555.52.01", "ok"),
        ("5.15.167.4-microsoft-standard-WSL2", "12.550.52.01", "warning"),
        ("6.8.0-45-generic", "12.555.52.01", "warning"),
    ],
)
def test_wsl_has_a_library_of_another_build(
    monkeypatch: pytest.MonkeyPatch, release: str, library: str, state: str
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    _, driver = nvml_checks(Look(driver="555.99", nvml=library), None)
    assert driver.state == state


def test_a_hanging_nvml_does_not_hang_doctor(nvml: SetVariables) -> None:
    nvml(fault="nvmlDeviceGetCount_v2:hang")
    result = doctor("--json", "--device", "cpu")
    assert result.returncode == 0
    assert "nvmlDeviceGetCount_v2 did not answer" in checks(result)["NVML"]["finding"]


@pytest.mark.sim
def test_on_an_accelerator_that_is_hot(sim_env: SimEnvironment) -> None:
    result = doctor("--json", env=sim_env(NVMLSTUB_REASONS="0x41", NVMLSTUB_MIG="1"))
    assert result.returncode == 0
    found = checks(result)
    assert found["device"]["state"] == "ok"
    assert "sim:0" in found["device"]["finding"]
    assert found["driver"] == {
        "name": "driver",
        "state": "ok",
        "finding": "580.65.06, as the library",
        "remedy": None,
    }
    assert found["GPU 0 clocks"]["state"] == "warning"
    assert "too hot (hardware)" in found["GPU 0 clocks"]["finding"]
    assert found["GPU 0 MIG"]["state"] == "warning"
    assert found["GPU 0 processes"]["state"] == "ok"
    assert "GPU 1 clocks" not in found  # torch uses the other one
    assert "on sim" in found["smallest difference"]["finding"]


@pytest.mark.sim
def test_an_accelerator_whose_driver_does_not_match(sim_env: SimEnvironment) -> None:
    result = doctor("--json", env=sim_env(NVMLSTUB_FAULT="nvmlInitWithFlags:18"))
    assert result.returncode == 0
    assert checks(result)["NVML"]["state"] == "warning"
    assert "restart" in checks(result)["NVML"]["remedy"]


@pytest.mark.sim
def test_an_accelerator_that_fails_at_the_first_kernel(sim_env: SimEnvironment) -> None:
    result = doctor("--json", env=sim_env(SIM_KERNEL_ERROR_AFTER="1"))
    assert result.returncode == 1
    assert checks(result)["device"]["state"] == "problem"


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"a/b/cpu.max": "150000 100000"}, "0::/a/b", 1.5),
        ({"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 1.0),
        ({"cpu.max": "50000 100000"}, "0::/elsewhere/on/the/host", 0.5),
        (
            {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "1"},
            "4:cpu,cpuacct:/x",
            None,
        ),
        (
            {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/x",
            2.0,
        ),
        ({}, "0::/", None),
    ],
)
def test_cgroup_quota(tmp_path: Path, files: dict[str, str], own: str, quota: float | None) -> None:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    listed = tmp_path / "own"
    listed.write_text(own + "\n")
    assert cgroup_quota(root, listed) == quota
    assert cgroup_quota(root, tmp_path / "missing") is None


def test_more_threads_than_the_cgroup_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(doctor_checks, "cgroup_quota", lambda: 0.5)
    (check,) = doctor_checks._threads()
    assert check.state == "warning"
    assert "0.5" in check.finding
    assert check.remedy is not None
    assert "measure.threads=1" in check.remedy


def test_pairs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What always comes second and is slower must not look like a difference of the work."""
    monkeypatch.setattr(doctor_checks, "PAIRS_S", 0.0)
    durations = iter([1.0, 2.0] * 100)
    ratios = paired_ratios(lambda: next(durations))
    assert sorted(set(ratios)) == [0.5, 2.0]
    assert ratios.count(0.5) == ratios.count(2.0)
