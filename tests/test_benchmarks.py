"""Each benchmark that trains takes `--device`, and runs on an accelerator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from simaccel_fixtures import SimEnvironment

FOLDER = Path(__file__).parents[1] / "benchmarks"
#: They train nothing: they read files, count operations, draw noise, or are about the processor's
#: own clock or scripts that choose their device themselves.
WITHOUT = {"attach_loops", "attach_peers", "attach_truth", "cpu_clock", "depth", "html_report",
           "intervals", "trace_memory", "trace_models", "traces", "parts_model", "device_clock",
           "ratios", "soak"}  # fmt: skip
TRAINING = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in WITHOUT)
#: A few seconds of each that trains in its own process.
SHORT = {
    "attach_cost": ("--rounds", "1", "--seconds", "0.01"),
    "bare": ("--rounds", "5"),
    "loop_growth": ("--rounds", "1", "--batch", "2", "--lengths", "4", "8"),
    "perturbation": ("--pairs", "6", "--lengths", "8"),
    "trace_loops": ("--seeds", "2"),
}


def run(
    name: str, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a benchmark to its end."""
    return subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *words],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )


@pytest.mark.parametrize("name", TRAINING)
def test_it_takes_a_device(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert 'add_argument("--device"' in text or "add_device(parser)" in text


def test_a_device_that_is_not_there_is_one_message() -> None:
    done = run("loop_growth", "--device", "cuda:99")
    assert done.returncode == 2
    assert "there is no device 'cuda:99' here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sim
@pytest.mark.parametrize("name", sorted(SHORT))
def test_it_runs_on_an_accelerator(name: str, sim_env: SimEnvironment) -> None:
    env = sim_env(OMP_NUM_THREADS=1, SIM_MIN_KERNEL_US=1)
    done = run(name, "--device", "auto", *SHORT[name], env=env)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d", done.stdout)
    assert "nan" not in done.stdout


def test_loops_of_random_models_are_found() -> None:
    done = run("trace_loops", "--seeds", "4")
    assert done.returncode == 0, done.stderr
    assert "4 right, 0 cannot tell, 0 SILENT, 0 INCOMPLETE, 0 WRONG" in done.stdout


@pytest.mark.timing
def test_random_loops_are_seen_as_they_are() -> None:
    done = run("attach_loops", "--seeds", "4")
    assert done.returncode == 0, done.stderr
    assert "timesteps: 4 of 4 loops as they are" in done.stdout
    assert re.search(r"phases: [234] of 4 loops", done.stdout), (
        done.stdout
    )  # clocks of a busy machine
