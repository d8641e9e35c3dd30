"""Memory in the one step that is counted, without resetting a peak that the script may read."""

from __future__ import annotations

import os
from contextlib import suppress

import torch

from seqprof.instruments.torch_bridge import allocated_bytes

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class StepMemory:
    """The most that was held by the end of any operation of a phase.

    Attributes:
        peaks: bytes by phase.
        method: what is read: the allocator on an accelerator, else the process's resident set.
    """

    def __init__(self, device: torch.device) -> None:
        self.peaks: dict[str, int] = {}
        self._device = device
        self._file: int | None = None
        self.method = "resident_set" if device.type == "cpu" else "allocator"
        if device.type == "cpu":
            with suppress(OSError):
                self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def read(self, phase: str) -> None:
        """Take in what is held now."""
        with suppress(OSError, RuntimeError, AttributeError, ValueError, IndexError):
            held = self._held()
            if held is not None and held > self.peaks.get(phase, 0):
                self.peaks[phase] = held

    def _held(self) -> int | None:
        if self._device.type != "cpu":
            return allocated_bytes(self._device)
        if self._file is None:
            return None
        return int(os.pread(self._file, 64, 0).split()[1]) * _PAGE

    def close(self) -> None:
        """Nothing is read any more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
