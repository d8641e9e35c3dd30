"""Fixtures that tests of several folders share, and how the suite runs in parallel."""

from __future__ import annotations

import os

#: Set before torch is imported: workers share the cores, and results do not depend on it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
#: Processes that tests start find bytecode, as in an installed package; else each compiles seqprof.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from nvml_fixtures import nvml, nvml_folder
from parallel_suite import (
    pytest_cmdline_main,
    pytest_collection_modifyitems,
    pytest_runtest_logreport,
    pytest_runtest_protocol,
)
from real_results import real_compare, real_json, real_run, real_scale, shared_folder
from simaccel_fixtures import sim_env

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # in .ci/matrix
    pass
else:  # machines are shared: how long an example takes says nothing about the code
    settings.register_profile(
        "seqprof", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("seqprof")

__all__ = [
    "nvml",
    "nvml_folder",
    "pytest_cmdline_main",
    "pytest_collection_modifyitems",
    "pytest_runtest_logreport",
    "pytest_runtest_protocol",
    "real_compare",
    "real_json",
    "real_run",
    "real_scale",
    "shared_folder",
    "sim_env",
]
