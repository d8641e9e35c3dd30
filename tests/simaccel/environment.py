"""The environment variables under which a process sees the simulated accelerator."""

import os
from pathlib import Path

from . import build

_PREFIXES = ("SIM_", "NVMLSTUB_", "SIMACCEL")
_METADATA = "Metadata-Version: 2.1\nName: simaccel\nVersion: 0.1\n"
_ENTRY_POINTS = "[torch.backends]\nsimaccel = simaccel:autoload\n"


def write_site(folder: Path) -> None:
    """Make a folder that, on PYTHONPATH, looks as if the package had been installed.

    PyTorch finds devices by entry points, and these are found in any `*.dist-info` on the path.
    Nothing but this package becomes importable with it.
    """
    info = folder / "simaccel-0.1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(_METADATA)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    package = folder / "simaccel"
    if not package.exists():
        package.symlink_to(build.HERE, target_is_directory=True)


def variables(site: Path, log: Path) -> dict[str, str]:
    """What to add to a process's environment; builds what is not built yet.

    `site` is a folder that `write_site` made, `log` the busy log (made when it is not there).
    Raises BuildError.
    """
    build.accelerator_extension()
    return {
        "SIMACCEL": "1",
        "NVMLSTUB_STATE": str(log),
        "LD_LIBRARY_PATH": _before(build.nvml_library().parent, "LD_LIBRARY_PATH"),
        "PYTHONPATH": _before(site, "PYTHONPATH"),
        build.CACHE_VARIABLE: str(build.cache_folder()),  # also where HOME is another
    }


def without_simulation(environment: dict[str, str]) -> dict[str, str]:
    """The environment less every variable of the simulation that may be set in it."""
    return {name: value for name, value in environment.items() if not name.startswith(_PREFIXES)}


def _before(folder: Path, variable: str) -> str:
    given = os.environ.get(variable)
    return os.pathsep.join([str(folder), given] if given else [str(folder)])
