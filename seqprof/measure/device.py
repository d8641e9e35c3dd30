"""Which device trains, and where the measurement runs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seqprof import __version__
from seqprof.analysis.run.precision import CONVOLUTION, MATMUL, RECURRENT, TF32
from seqprof.errors import EXIT_CANNOT_MEASURE, SeqprofError
from seqprof.instruments import torch_bridge
from seqprof.measure.machine import cpu_name, git_commit, usable_cores
from seqprof.recording import Device, Environment

_LIBRARIES = ("torch", "numpy", "nvidia-ml-py", "triton", "transformers", "lightning")


def choose_device(name: str) -> torch.device:
    """Turn a spec's ``measure.device`` into a device that exists.

    Raises:
        SeqprofError: it does not, with those that do.
    """
    accelerator = torch_bridge.current_accelerator()
    if name == "cpu" or (name == "auto" and accelerator is None):
        return torch.device("cpu")
    here = f"cpu and {torch_bridge.device_count()} x {accelerator}" if accelerator else "cpu"
    missing = f"measure.device: there is no device '{name}' here; torch sees {here}"
    wanted = accelerator if name == "auto" else _parse(name)
    if accelerator is None or wanted is None or wanted.type != accelerator.type:
        raise SeqprofError(
            missing,
            hint="`seqprof doctor` says why; `--set measure.device=auto` takes what is there",
            exit_code=EXIT_CANNOT_MEASURE,
        )
    index = wanted.index if wanted.index is not None else torch_bridge.current_index()
    if index >= torch_bridge.device_count():
        raise SeqprofError(missing, exit_code=EXIT_CANNOT_MEASURE)
    torch_bridge.use_index(index)
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
        fp32_precision=fp32_precision() if device.kind == "cuda" else {},
        libraries=_library_versions(),
    )


def fp32_precision() -> dict[str, str]:
    """What torch lets cuBLAS and cuDNN make of fp32: ``ieee`` or ``tf32``."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        MATMUL: _precision_of(matmul, matmul),
        CONVOLUTION: _precision_of(cudnn, getattr(cudnn, "conv", None)),
        RECURRENT: _precision_of(cudnn, getattr(cudnn, "rnn", None)),
    }


def _precision_of(backend: Any, part: Any) -> str:
    """The switch of a part (torch 2.9 and later) where it is set, else that of the backend."""
    own = getattr(part, "fp32_precision", "none")
    if own in ("ieee", TF32):
        return str(own)
    return TF32 if backend.allow_tf32 else "ieee"


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
