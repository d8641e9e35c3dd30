"""The fixture `sim_env`: environments for subprocesses that see the simulated accelerator.

The device is loaded in subprocesses only. Nothing here loads it into the process of the tests, so
tests without the fixture never see it.
"""

import itertools
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import pytest
from simaccel import environment
from simaccel.build import BuildError

_PROFILER = "include/torch/csrc/profiler/standalone/privateuse1_profiler.h"


def torch_records_its_kernels() -> bool:
    """Whether torch lets a device of another vendor bring a profiler of its own."""
    torch = find_spec("torch")
    return torch is not None and (Path(str(torch.origin)).parent / _PROFILER).exists()


#: By torch.profiler; events, dwells and NVML are there all the same.
needs_its_kernels = pytest.mark.skipif(
    not torch_records_its_kernels(),
    reason="this torch has no interface for the kernels of a simulated device (2.13 has)",
)


class SimEnvironment(Protocol):
    def __call__(self, **overrides: object) -> dict[str, str]:
        """The environment of one subprocess, with a busy log of its own (NVMLSTUB_STATE).

        Overrides are further variables (tests/simaccel/README.md); None removes one.
        """


@pytest.fixture(scope="session")
def sim_env(tmp_path_factory: pytest.TempPathFactory) -> SimEnvironment:
    """Builds the accelerator and the NVML library, once per cache; skips where that cannot be."""
    folder = tmp_path_factory.mktemp("simaccel")
    site = folder / "site"
    environment.write_site(site)
    try:
        fixed = environment.variables(site, folder / "unused.log")
    except BuildError as error:
        pytest.skip(f"the simulated accelerator cannot be built: {error}")
    numbers = itertools.count()

    def env(**overrides: object) -> dict[str, str]:
        log = folder / f"busy-{next(numbers)}.log"
        merged: dict[str, object] = {
            **environment.without_simulation(dict(os.environ)),
            **fixed,
            "NVMLSTUB_STATE": log,
            **overrides,
        }
        return {name: str(value) for name, value in merged.items() if value is not None}

    return env


def log_of(env: dict[str, str]) -> Path:
    """The busy log of an environment, for `simaccel.truth`."""
    return Path(env["NVMLSTUB_STATE"])
