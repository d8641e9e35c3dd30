"""Where a process computes: a whole GPU, or an instance of one that is partitioned (MIG)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from seqprof.samplers.nvml_calls import Nvml, NvmlCallError, mig_mode

#: What is told of a partitioned GPU where it is not known which instance is ours.
SHARED = (
    "the GPU is partitioned (MIG) and it is not known which instance this is, so the figure would "
    "be that of all of them; CUDA_VISIBLE_DEVICES=MIG-<uuid> (`nvidia-smi -L`) tells"
)


@dataclass(frozen=True, slots=True)
class SampledDevice:
    """A device and its board, as NVML's handles.

    Attributes:
        device: what the process computes on: an instance where it is known, else the board.
        board: the whole GPU, which alone knows power, clocks and temperature.
        instance: the GPU instance's id; None for a whole GPU, or where it is not known.
        mig: whether the board is partitioned; None where it does not say (before Ampere).
    """

    device: Any
    board: Any
    instance: int | None
    mig: bool | None

    @property
    def shared(self) -> bool:
        """Whether ``device`` stands for all instances of a partitioned board."""
        return bool(self.mig) and self.instance is None


def place_of(nvml: Nvml, device: Any) -> SampledDevice:
    """Tell instance and board of the handle that was found by CUDA's UUID.

    CUDA before version 13 gives the UUID of the *board* for an instance of it. Then the instance is
    the one that CUDA_VISIBLE_DEVICES names: CUDA shows a process no second one.
    """
    is_instance = nvml.optional("nvmlDeviceIsMigDeviceHandle", device)
    if is_instance is not None and is_instance.value:
        return _of_instance(nvml, device)
    mig = mig_mode(nvml, device)
    named = _visible_instance(nvml) if mig else None
    if named is not None:
        place = _of_instance(nvml, named)
        if place.instance is not None and _same_board(nvml, place.board, device):
            return place
    return SampledDevice(device, device, None, mig)


def _of_instance(nvml: Nvml, device: Any) -> SampledDevice:
    board = nvml.optional("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", device)
    instance = nvml.optional("nvmlDeviceGetGpuInstanceId", device)
    if board is None or instance is None:
        return SampledDevice(device, device, None, True)
    return SampledDevice(device, board, instance, True)


def _visible_instance(nvml: Nvml) -> Any:
    """The handle of the first instance that CUDA_VISIBLE_DEVICES names; None if it names none.

    Drivers from R470 on spell it ``MIG-<uuid>``; older spellings hold the GPU and two numbers.
    """
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    first = names[0].strip()
    if not first.startswith("MIG-") or "/" in first:
        return None
    try:
        return nvml.call("nvmlDeviceGetHandleByUUID", first)
    except NvmlCallError:
        return None


def _same_board(nvml: Nvml, one: Any, other: Any) -> bool:
    uuids = [nvml.optional("nvmlDeviceGetUUID", handle) for handle in (one, other)]
    return uuids[0] is not None and uuids[0] == uuids[1]
