"""Registers the simulated accelerator with PyTorch as `sim`, with its module `torch.sim`."""

import atexit
import importlib.util
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch.utils import backend_registration

from . import build

DeviceLike = int | str | torch.device | None


def register() -> None:
    """Make `sim` the accelerator of this process. Does nothing the second time."""
    if hasattr(torch, "sim"):
        return
    native = _load_extension()
    backend_registration.rename_privateuse1_backend("sim")
    torch._register_device_module("sim", _device_module(native))  # type: ignore[no-untyped-call]
    backend_registration.generate_methods_for_privateuse1_backend(
        for_tensor=True, for_module=True, for_storage=True
    )
    # As on CUDA, kernels end with the process; none may run while torch is torn down around it.
    atexit.register(native.abandon_all_streams)
    # A forked child has no stream threads that could finish.
    os.register_at_fork(after_in_child=lambda: atexit.unregister(native.abandon_all_streams))


def _load_extension() -> Any:
    path = build.accelerator_extension()
    spec = importlib.util.spec_from_file_location(build.EXTENSION_NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class DeviceProperties:
    name: str
    total_memory: int  # bytes
    uuid: str  # what NVML says, without its "GPU-"
    major: int = 9
    minor: int = 0
    multi_processor_count: int = 1


def _index(device: DeviceLike, current: int) -> int:
    if isinstance(device, int):
        return device
    index = None if device is None else torch.device(device).index
    return current if index is None else index


def _device_module(native: Any) -> ModuleType:
    """`torch.sim`, with the functions that PyTorch expects of a device's module and a few more."""

    def get_device_properties(device: DeviceLike = None) -> DeviceProperties:
        index = _index(device, native.current_device())
        uuid = f"5eb9f0{index:02x}-0000-4000-8000-{index:012x}"
        return DeviceProperties("SimGPU", native.memory_limit_bytes(), uuid)

    def set_device(device: DeviceLike) -> None:
        native.set_device(_index(device, native.current_device()))

    def synchronize(device: DeviceLike = None) -> None:
        torch.accelerator.synchronize(_index(device, native.current_device()))

    functions = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_is_in_bad_fork": lambda: False,
        # torch before 2.13 synchronizes with nothing that was not initialized by its own call.
        "_lazy_init": lambda: None,
        "manual_seed_all": lambda seed: None,  # kernels draw from the CPU's generator
        "device_count": native.device_count,
        "current_device": native.current_device,
        "set_device": set_device,
        "get_device_properties": get_device_properties,
        "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
        "synchronize": synchronize,
        # Only here: (launches, synchronizations) so far, and how long kernels take.
        "counters": native.counters,
        "set_min_kernel_us": native.set_min_kernel_us,
        "set_slow": native.set_slow,
    }
    module = ModuleType("torch.sim")
    for name, function in functions.items():
        setattr(module, name, function)
    return module
