"""The fixture `nvml`: this test's subprocesses see the simulated NVML library, and no real one.

Only the sampler's own process loads NVML, so setting the environment is enough.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_log import plant
from simaccel import build

DEVICE_0 = "GPU-5eb9f000-0000-4000-8000-000000000000"
DEVICE_1 = "GPU-5eb9f001-0000-4000-8000-000000000001"

SetVariables = Callable[..., Path]


@pytest.fixture(scope="session")
def nvml_folder() -> Path:
    try:
        return build.nvml_library().parent
    except build.BuildError as error:
        pytest.skip(f"the simulated NVML library cannot be built: {error}")


@pytest.fixture
def nvml(nvml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetVariables:
    """Sets NVMLSTUB_ variables (`fault="…"` is NVMLSTUB_FAULT); returns the path of the busy log.

    The devices are idle until something else is planted.
    """
    for name in list(os.environ):
        if name.startswith("NVMLSTUB_"):
            monkeypatch.delenv(name)
    log = tmp_path / "busy.log"
    plant(log, [])
    monkeypatch.setenv("NVMLSTUB_STATE", str(log))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_folder))

    def set_variables(**variables: object) -> Path:
        for name, value in variables.items():
            monkeypatch.setenv(f"NVMLSTUB_{name.upper()}", str(value))
        return log

    return set_variables
