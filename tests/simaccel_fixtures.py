"""The fixture `sim_env`: environments for subprocesses that see the simulated accelerator.

The device is loaded in subprocesses only. Nothing here loads it into the process of the tests, so
tests without the fixture never see it.
"""

import itertools
import os
from pathlib import Path
from typing import Protocol

import pytest
from simaccel import environment
from simaccel.build import BuildError


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
