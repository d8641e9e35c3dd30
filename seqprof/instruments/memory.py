"""Peak memory of a phase: the allocator's on an accelerator, the process's on the CPU."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

import torch

from seqprof.instruments.torch_bridge import (
    allocated_bytes,
    empty_cache,
    peak_memory_bytes,
    reset_peak_memory,
)

_STATUS = Path("/proc/self/status")
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_CLEAR_REFS = Path("/proc/self/clear_refs")
#: proc(5): writing 5 resets the peak resident set size to the current one.
_RESET_PEAK = "5"


class PeakMemory(Protocol):
    """Peak bytes since the last :meth:`reset`."""

    @property
    def method(self) -> Literal["allocator", "resident_set"]: ...

    def reset(self) -> None: ...

    def peak_bytes(self) -> int: ...


class AllocatorPeak:
    """Peak of what torch's caching allocator had handed out on the device."""

    @property
    def method(self) -> Literal["allocator"]:
        return "allocator"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def reset(self) -> None:
        reset_peak_memory(self._device)

    def peak_bytes(self) -> int:
        return peak_memory_bytes(self._device)


class ResidentSetPeak:
    """Peak resident set of the whole process (VmHWM), which Linux lets a process reset.

    torch has no allocator statistics on the CPU; this counts the interpreter and the libraries
    too, and memory that was freed but not returned to the system.
    """

    @property
    def method(self) -> Literal["resident_set"]:
        return "resident_set"

    def reset(self) -> None:
        _CLEAR_REFS.write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise OSError("no VmHWM in /proc/self/status")


def peak_memory(device: torch.device) -> tuple[PeakMemory | None, str | None]:
    """Return what can tell peak memory on ``device``, or ``None`` and the reason."""
    meter: PeakMemory = ResidentSetPeak() if device.type == "cpu" else AllocatorPeak(device)
    try:
        meter.reset()
        meter.peak_bytes()
    except (OSError, RuntimeError) as error:  # NotImplementedError is a RuntimeError
        return None, f"peak memory cannot be read here: {error}"
    return meter, None


def held_bytes(device: torch.device) -> int | None:
    """Memory in use now: the allocator's on an accelerator, else the process's resident set."""
    try:
        if device.type != "cpu":
            return allocated_bytes(device)
        return int(_STATM.read_text().split()[1]) * _PAGE
    except (OSError, RuntimeError, AttributeError, ValueError, IndexError):
        return None


def release(device: torch.device) -> None:
    """Give memory that nothing uses back to the system, so that no later peak contains it."""
    gc.collect()
    if device.type != "cpu":
        empty_cache(device)
        return
    with suppress(OSError, AttributeError):  # only the GNU C library has it
        ctypes.CDLL(None).malloc_trim(0)
