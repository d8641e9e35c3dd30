"""Builds the two native parts once and keeps them in a cache: the extension and the NVML library.

A build is named by what it was made from (sources, torch, Python, nvml.h), so a changed source is
built anew, and processes that start together wait for the one that builds.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXTENSION_NAME = "simaccel_native"
NVML_LIBRARY = "libnvidia-ml.so.1"
CACHE_VARIABLE = "SEQPROF_SIM_CACHE"


class BuildError(RuntimeError):
    """A compiler or a header is missing, or the compiler failed; the message says which."""


def cache_folder() -> Path:
    """$SEQPROF_SIM_CACHE, else a folder below the user's cache."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "seqprof-sim"


def accelerator_extension() -> Path:
    """The extension module's file, built if need be (about a minute)."""
    sources = _sources("accelerator")
    torch_version = importlib.metadata.version("torch")
    key = _key(sources, torch_version, sys.version, sysconfig.get_config_var("EXT_SUFFIX"))
    folder = _cached(f"accelerator-{key}", _compile_accelerator)
    return folder / f"{EXTENSION_NAME}.so"


def nvml_library() -> Path:
    """The simulated libnvidia-ml.so.1, built if need be (a second)."""
    header = _nvml_header()
    key = _key([*_sources("nvml"), header])
    folder = _cached(f"nvml-{key}", lambda out: _compile_nvml(out, header))
    return folder / NVML_LIBRARY


def _sources(folder: str) -> list[Path]:
    found = (path for path in (HERE / folder).iterdir() if path.suffix in {".c", ".cpp", ".h"})
    return [*sorted(found), HERE / "busy_log.h", HERE / "compile_extension.py"]


def _key(files: list[Path], *versions: object) -> str:
    digest = hashlib.sha256(repr(versions).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name in the cache, filled by `make` unless it is there already."""
    done = cache_folder() / name
    if done.is_dir():
        return done
    cache_folder().mkdir(parents=True, exist_ok=True)
    with _locked(cache_folder() / f"{name}.lock"):
        if not done.is_dir():
            with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
                out = Path(scratch) / "out"
                out.mkdir()
                make(out)
                out.rename(done)  # appears complete or not at all
    return done


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock file; the system lets go of it when the process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile_accelerator(out: Path) -> None:
    """In a process of its own: the compiled extension gets loaded, and must not be loaded here."""
    _require("g++")
    scripts = sysconfig.get_path("scripts")  # ninja lies there, also when that is not on the path
    environment = {
        **os.environ,
        "SIMACCEL": "0",
        "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(HERE.parent),
    }
    with tempfile.TemporaryDirectory(dir=out.parent) as objects:
        _run([sys.executable, "-m", "simaccel.compile_extension", objects], environment)
        shutil.move(Path(objects) / f"{EXTENSION_NAME}.so", out)


def _compile_nvml(out: Path, header: Path) -> None:
    _require("gcc")
    sources = [str(path) for path in _sources("nvml") if path.suffix == ".c"]
    flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{header.parent}"]
    names = [f"-Wl,-soname,{NVML_LIBRARY}", "-o", str(out / NVML_LIBRARY)]
    _run(["gcc", *flags, *names, *sources, "-lpthread"], dict(os.environ))


def _nvml_header() -> Path:
    try:
        files = importlib.metadata.files("nvidia-nvml-dev") or []
    except importlib.metadata.PackageNotFoundError:
        raise BuildError("nvml.h is missing: install the package nvidia-nvml-dev") from None
    for file in files:
        if file.name == "nvml.h":
            return Path(str(file.locate()))
    raise BuildError("the installed package nvidia-nvml-dev has no nvml.h")


def _require(compiler: str) -> None:
    if shutil.which(compiler) is None:
        raise BuildError(f"there is no {compiler} on the path")


def _run(command: list[str], environment: dict[str, str]) -> None:
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stdout + result.stderr)[-4000:]
        raise BuildError(f"{command[0]} failed ({result.returncode}):\n{output}")
