"""Fixtures that tests of several folders share."""

from nvml_fixtures import nvml, nvml_folder
from simaccel_fixtures import sim_env

__all__ = ["nvml", "nvml_folder", "sim_env"]
