"""What the report says of the script's process, read inside it."""

from __future__ import annotations

import os
import platform
import socket
import sys
from typing import Any

import torch

from seqprof.instruments import torch_bridge

_LIBRARIES = ("numpy", "transformers", "lightning", "accelerate", "deepspeed", "triton")


def process_facts(device: torch.device) -> dict[str, Any]:
    """Versions, threads, device, rank. ``device`` is where the first root's parameters are."""
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "torch": str(torch.__version__),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "argv": list(sys.orig_argv),
        "folder": os.getcwd(),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "rank": int(os.environ.get("RANK", 0)),
        "local_rank": int(os.environ.get("LOCAL_RANK", 0)),
        "world_size": int(os.environ.get("WORLD_SIZE", 1)),
        "device": device_facts(device),
        "libraries": _versions(),
    }


def device_facts(device: torch.device) -> dict[str, Any]:
    """Kind, name and NVML's identity of a device."""
    if device.type == "cpu":
        return {"kind": "cpu"}
    index = device.index if device.index is not None else torch_bridge.current_index()
    properties = torch.get_device_module(device).get_device_properties(index)
    uuid = getattr(properties, "uuid", None)
    return {
        "kind": device.type,
        "name": str(getattr(properties, "name", device.type)),
        "index": index,
        "uuid": None if uuid is None else f"GPU-{uuid}",
        "total_memory_bytes": getattr(properties, "total_memory", None),
    }


def _versions() -> dict[str, str]:
    """Versions of what the script has imported; nothing is imported for it."""
    versions = {}
    for name in _LIBRARIES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            versions[name] = version
    return versions
