"""What ``seqprof doctor`` says of NVML and of the GPUs that it shows."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psutil

from seqprof.analysis.run.caveats.device import THROTTLE_REASONS
from seqprof.cli.doctor.check import Check
from seqprof.samplers.probe import Gpu, Look

if TYPE_CHECKING:
    from seqprof.recording import Device

_HARMLESS_REASONS = {0x01: "idle", 0x02: "clocks set by the user", 0x100: "display clock setting"}


def nvml_checks(seen: Look, device: Device | None) -> Iterator[Check]:
    if seen.detail is not None:
        expected = device is not None and device.is_accelerator
        lost = "" if expected else " (matters only with an NVIDIA GPU)"
        yield Check(
            name="NVML",
            state="warning" if expected else "note",
            finding=f"not usable{lost}: {seen.detail}",
            remedy=seen.remedy if expected else None,
        )
        return
    yield Check(name="NVML", state="ok", finding=f"version {seen.nvml}, {len(seen.gpus)} GPU(s)")
    yield _versions(seen)


def _versions(seen: Look) -> Check:
    """The library's version is that of the driver it came with, after CUDA's major version."""
    if seen.driver is None or seen.nvml is None:
        return Check(name="driver", state="note", finding="NVML does not tell its versions")
    if seen.nvml.endswith(seen.driver):
        return Check(name="driver", state="ok", finding=f"{seen.driver}, as the library")
    if _on_wsl() and _driver_branch(seen.nvml) == _driver_branch(seen.driver):
        # WSL's library is Windows' own and may be of another build of the same branch.
        return Check(
            name="driver",
            state="ok",
            finding=f"{seen.driver}; the library of WSL is {seen.nvml}, of the same branch",
        )
    return Check(
        name="driver",
        state="warning",
        finding=f"driver {seen.driver}, but NVML library {seen.nvml}",
        remedy="restart the machine, or the container whose library is another",
    )


def _on_wsl() -> bool:
    return "microsoft" in platform.release().lower()


def _driver_branch(version: str) -> str:
    """555 of the driver's 555.99 and of the library's 12.555.52.01 or 555.52.01."""
    numbers = version.split(".")
    return next((number for number in numbers if len(number) >= 3), numbers[0])


def gpus_of(device: Device | None, seen: Look) -> list[Gpu]:
    """The GPU that torch uses; all, where none matches (a MIG instance has a UUID of its own)."""
    if device is None or not device.is_accelerator:
        return []
    return [gpu for gpu in seen.gpus if gpu.uuid == device.uuid] or seen.gpus


def gpu_checks(gpu: Gpu) -> Iterator[Check]:
    name = f"GPU {gpu.index}"
    if gpu.failure is not None:
        yield Check(name=name, state="warning", finding=gpu.failure, remedy=gpu.remedy)
        return
    yield _processes(name, gpu)
    yield _mig(name, gpu)
    yield _clocks(name, gpu)


def _processes(name: str, gpu: Gpu) -> Check:
    name += " processes"
    if gpu.pids is None:
        return Check(name=name, state="note", finding="NVML does not tell them here")
    if not gpu.pids:
        return Check(name=name, state="ok", finding="no others")
    who = ", ".join(f"{pid} {_process_name(pid)}".strip() for pid in gpu.pids[:5])
    return Check(
        name=name,
        state="warning",
        finding=f"{len(gpu.pids)} others compute on it: {who}",
        remedy="end them or wait; with them, idle and utilization are theirs as well",
    )


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except (psutil.Error, OSError):
        return ""  # in a container, the driver's numbers are the host's


def _mig(name: str, gpu: Gpu) -> Check:
    name += " MIG"
    if gpu.mig is None:
        return Check(name=name, state="ok", finding="this GPU has none")
    if not gpu.mig:
        return Check(name=name, state="ok", finding="off")
    return Check(
        name=name,
        state="warning",
        finding="on: NVML gives no utilization; power and clocks are the whole GPU's",
        remedy="turn it off (`nvidia-smi -mig 0`), or rely on device times",
    )


def _clocks(name: str, gpu: Gpu) -> Check:
    name += " clocks"
    if gpu.sm_clock_mhz is None:
        return Check(name=name, state="note", finding="NVML does not tell them")
    limit = f" of {gpu.sm_clock_max_mhz}" if gpu.sm_clock_max_mhz is not None else ""
    warmth = f", {gpu.temperature_c} °C" if gpu.temperature_c is not None else ""
    finding = f"SM {gpu.sm_clock_mhz}{limit} MHz{warmth}"
    if gpu.clock_event_reasons is None:
        return Check(name=name, state="note", finding=f"{finding}; throttling not known")
    slowed = _words(gpu.clock_event_reasons, THROTTLE_REASONS)
    if slowed:
        remedy = "see to cooling and to the power limit (`nvidia-smi -q -d PERFORMANCE`)"
        finding = f"{finding}; throttled: {slowed}"
        return Check(name=name, state="warning", finding=finding, remedy=remedy)
    other = _words(gpu.clock_event_reasons, _HARMLESS_REASONS)
    return Check(name=name, state="ok", finding=f"{finding}; {other or 'not throttled'}")


def _words(mask: int, meanings: dict[int, str]) -> str:
    return ", ".join(words for bit, words in meanings.items() if mask & bit)
