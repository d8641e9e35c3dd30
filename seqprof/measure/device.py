"""Which device trains, and where the measurement runs."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from seqprof import __version__
from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.recording import Device, Environment

_LIBRARIES = ("torch", "numpy", "nvidia-ml-py", "triton", "transformers", "lightning")


def choose_device(name: str) -> torch.device:
    """Turn a spec's ``measure.device`` into a device that exists.

    Raises:
        SeqprofError: it does not, with those that do.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "cpu" or (name == "auto" and accelerator is None):
        return torch.device("cpu")
    here = f"cpu and {torch.accelerator.device_count()} x {accelerator}" if accelerator else "cpu"
    missing = f"measure.device: there is no device '{name}' here; torch sees {here}"
    wanted = accelerator if name == "auto" else _parse(name)
    if accelerator is None or wanted is None or wanted.type != accelerator.type:
        raise SeqprofError(
            missing,
            hint="`seqprof doctor` says why; `--set measure.device=auto` takes what is there",
            exit_code=EXIT_CANNOT_MEASURE,
        )
    index = wanted.index if wanted.index is not None else torch.accelerator.current_device_index()
    if index >= torch.accelerator.device_count():
        raise SeqprofError(missing, exit_code=EXIT_CANNOT_MEASURE)
    torch.accelerator.set_device_index(index)
    return torch.device(accelerator.type, index)


def _parse(name: str) -> torch.device | None:
    try:
        return torch.device(name)
    except RuntimeError:
        return None


def describe_device(device: torch.device) -> Device:
    """Name, size and NVML identity of ``device``."""
    if device.type == "cpu":
        return Device(kind="cpu", name=cpu_name())
    properties = torch.get_device_module(device).get_device_properties(device.index)
    uuid = getattr(properties, "uuid", None)
    return Device(
        kind=device.type,
        name=str(getattr(properties, "name", device.type)),
        index=device.index,
        # NVML's index is not CUDA's; only the UUID names the same device to both.
        uuid=None if uuid is None else f"GPU-{uuid}",
        total_memory_bytes=getattr(properties, "total_memory", None),
    )


def cpu_name() -> str:
    """The processor's model name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_environment(device: Device, folder: Path) -> Environment:
    """Versions, processor, threads, and the commit of the config's folder."""
    return Environment(
        seqprof=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        device=device,
        commit=git_commit(folder),
        libraries=_library_versions(),
    )


def usable_cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_commit(folder: Path) -> str | None:
    """Short commit of the repository that holds ``folder``, with ``+`` when it has changes."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=5
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return None
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _library_versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
