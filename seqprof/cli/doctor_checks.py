"""The checks of ``seqprof doctor``: each looks at one thing, changes nothing, says what it saw."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from seqprof.analysis.caveats import HIGH_OTHER_LOAD, HIGH_STEAL, THROTTLE_REASONS
from seqprof.analysis.statistics import median_interval
from seqprof.errors import SeqprofError
from seqprof.samplers.host import HostMeter
from seqprof.samplers.probe import Gpu, Look, look

if TYPE_CHECKING:
    from seqprof.recording import Device

State = Literal["ok", "note", "warning", "problem"]

#: How long the machine is watched for the load by others.
LOAD_WINDOW_S = 0.5
#: How long pairs of identical work are timed, and how long one piece of it should take.
PAIRS_S = 1.0
PIECE_S = 0.004
#: An interval needs six pairs at least; on a very slow machine they take longer than PAIRS_S.
FEWEST_PAIRS = 12
#: A run that hopes to see 2 % (the bound of "equivalent") is in vain above this half width.
COARSE_DIFFERENCE = 0.02
_HARMLESS_REASONS = {0x01: "idle", 0x02: "clocks set by the user", 0x100: "display clock setting"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check saw. ``problem``: measuring is not possible."""

    name: str
    state: State
    finding: str
    remedy: str | None = None


def run_checks(wanted: str) -> list[Check]:
    """Run all checks for the device ``wanted`` (as ``measure.device`` says it); about 3 s.

    NVML is asked first: once torch has begun to use a GPU, this process would be on it too.
    """
    seen = look()
    checks, device = _torch_and_device(wanted, seen)
    checks += _nvml(seen, device)
    for gpu in _gpus_of(device, seen):
        checks += _gpu(gpu)
    checks += _threads()
    checks.append(_load())
    checks.append(_timer())
    if device is not None:
        checks.append(_smallest_difference(device))
    return checks


# torch and its device -------------------------------------------------------------------------


def _torch_and_device(wanted: str, seen: Look) -> tuple[list[Check], Device | None]:
    try:
        import torch
    except Exception as error:
        # An ImportError, an OSError of a missing library, or whatever an extension throws.
        problem = Check(
            name="torch",
            state="problem",
            finding=f"cannot be imported: {type(error).__name__}: {error}",
            remedy=f"`{Path(sys.executable).name} -m pip install --force-reinstall torch`",
        )
        return [problem], None
    built_for = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else _not_for_cuda()
    checks = [Check(name="torch", state="ok", finding=f"{torch.__version__}, {built_for}")]
    check, device = _device(wanted, seen)
    return [*checks, check], device


def _not_for_cuda() -> str:
    import torch

    return f"built for ROCm {torch.version.hip}" if torch.version.hip else "built without CUDA"


def _device(wanted: str, seen: Look) -> tuple[Check, Device | None]:
    from seqprof.measure.device import choose_device, describe_device

    try:
        chosen = choose_device(wanted)
        device = describe_device(chosen)
        _try_out(chosen)
    except SeqprofError as error:
        remedy = _remedy_without_cuda(seen) or "name one of these, or leave --device out"
        finding = error.message.removeprefix("measure.device: ")
        return Check(name="device", state="problem", finding=finding, remedy=remedy), None
    except Exception as error:
        remedy = "`--device cpu` measures on the processor; `nvidia-smi` and `dmesg` may say more"
        finding = f"{wanted}: {type(error).__name__}: {error}"
        return Check(name="device", state="problem", finding=finding, remedy=remedy), None
    finding = f"{chosen}: {device.name}"
    unused = None if device.is_accelerator or wanted == "cpu" else _remedy_without_cuda(seen)
    if unused is not None:
        finding += f"; torch does not use the {len(seen.gpus)} NVIDIA GPU(s) here"
        return Check(name="device", state="warning", finding=finding, remedy=unused), device
    return Check(name="device", state="ok", finding=finding), device


def _try_out(device: Any) -> None:
    """A device may be listed and still fail at the first kernel."""
    import torch

    total = torch.ones(8, device=device).sum().item()
    if total != 8.0:
        raise RuntimeError(f"adding eight ones gave {total}")


def _remedy_without_cuda(seen: Look) -> str | None:
    """What to do where NVML shows GPUs that torch does not see; None where it shows none."""
    import torch

    if not seen.gpus:
        return None
    if torch.version.cuda is None:
        return "install the CUDA build of torch (pytorch.org, Get Started)"
    return "see whether CUDA_VISIBLE_DEVICES hides it, and whether the driver is recent enough"


# NVML and the GPU -----------------------------------------------------------------------------


def _nvml(seen: Look, device: Device | None) -> Iterator[Check]:
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
    return Check(
        name="driver",
        state="warning",
        finding=f"driver {seen.driver}, but NVML library {seen.nvml}",
        remedy="restart the machine, or the container whose library is another",
    )


def _gpus_of(device: Device | None, seen: Look) -> list[Gpu]:
    """The GPU that torch uses; all, where none matches (a MIG instance has a UUID of its own)."""
    if device is None or not device.is_accelerator:
        return []
    return [gpu for gpu in seen.gpus if gpu.uuid == device.uuid] or seen.gpus


def _gpu(gpu: Gpu) -> Iterator[Check]:
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


# The host -------------------------------------------------------------------------------------


def _threads() -> Iterator[Check]:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    threads, cores, quota = torch.get_num_threads(), _usable_cores(), cgroup_quota()
    limit = cores if quota is None else min(cores, quota)
    allowed = "" if quota is None else f", of which the cgroup allows {quota:.3g}"
    finding = f"torch uses {threads} threads; {cores} of {os.cpu_count()} cores{allowed}"
    if threads > limit:
        remedy = f"`--set measure.threads={max(1, int(limit))}`, or OMP_NUM_THREADS"
        yield Check(name="threads", state="warning", finding=finding, remedy=remedy)
    else:
        yield Check(name="threads", state="ok", finding=finding)


def cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float | None:
    """How many cores' time the cgroup allows; None where there is no limit.

    Args:
        root: where cgroups are mounted.
        own: the kernel's list of this process's cgroups.
    """
    try:
        entries = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    limits = []
    for number, controllers, path in entries:
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        base = root if number == "0" else root / "cpu"
        folder = base / path.lstrip("/")
        # In a container the path may be the host's; the limit then stands at the mount itself.
        for place in (folder, *folder.parents):
            limits.append(_quota_at(place))
            if place == base:
                break
    return min((limit for limit in limits if limit is not None), default=None)


def _quota_at(folder: Path) -> float | None:
    """The limit that one cgroup sets, version 2 or 1."""
    for read in (_quota_2, _quota_1):
        try:
            quota, period = read(folder)
            if quota > 0 and period > 0:
                return quota / period
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


def _quota_2(folder: Path) -> tuple[float, float]:
    quota, period = (folder / "cpu.max").read_text().split()
    return float(quota), float(period)


def _quota_1(folder: Path) -> tuple[float, float]:
    quota = (folder / "cpu.cfs_quota_us").read_text()
    return float(quota), float((folder / "cpu.cfs_period_us").read_text())


def _usable_cores() -> int:
    """As ``measure/device.py`` has it, but for a machine whose torch cannot be imported."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load() -> Check:
    meter = HostMeter()
    time.sleep(LOAD_WINDOW_S)
    load = meter.stop()
    if load.machine_busy_s is None:
        return Check(name="load by others", state="note", finding="the system does not tell it")
    available = load.window_s * _usable_cores()
    others = max(0.0, load.machine_busy_s - load.process_cpu_s) / available
    stolen = (load.steal_s or 0.0) / available
    finding = f"other processes use {others:.0%} of {_usable_cores()} cores"
    finding += "" if load.steal_s is None else f", the hypervisor took {stolen:.0%}"
    finding += f" (over {load.window_s:.1f} s)"
    if others > HIGH_OTHER_LOAD or stolen > HIGH_STEAL:
        remedy = "end or wait for what else runs; `taskset` keeps a run on cores of its own"
        return Check(name="load by others", state="warning", finding=finding, remedy=remedy)
    return Check(name="load by others", state="ok", finding=finding)


def _timer() -> Check:
    """The smallest step that successive readings of the clock show."""
    clock = time.perf_counter_ns
    readings = [clock() for _ in range(20_000)]
    steps = [b - a for a, b in pairwise(readings) if b > a]
    if not steps:
        return Check(name="timer", state="warning", finding="the clock does not advance")
    finding = f"resolves {min(steps)} ns, reading included (smallest of {len(steps)} steps)"
    return Check(name="timer", state="ok", finding=finding)


# How small a difference can be seen ------------------------------------------------------------


def _smallest_difference(device: Device) -> Check:
    ratios = paired_ratios(_fixed_work(device))
    interval = median_interval(ratios)
    name = "smallest difference"
    if interval is None:
        return Check(name=name, state="note", finding="too few pairs could be timed")
    half = (interval[1] - interval[0]) / 2
    finding = (
        f"±{100 * half:.2g} %: half the 95 % interval of the median ratio of {len(ratios)} pairs "
        f"of identical work on {device.kind}, timed in turn just now"
    )
    if half > COARSE_DIFFERENCE:
        remedy = "quieten the machine, or take more pairs (`--set measure.pairs=…`)"
        return Check(name=name, state="warning", finding=finding, remedy=remedy)
    return Check(name=name, state="ok", finding=finding)


def _fixed_work(device: Device) -> Callable[[], float]:
    """A piece of work that takes about ``PIECE_S``; calling it gives its duration in seconds."""
    import torch

    where = torch.device(device.kind, device.index or 0) if device.is_accelerator else "cpu"
    inputs = torch.full((64, 128), 0.5, device=where)
    weights = torch.full((128, 128), 0.01, device=where)

    def work(rounds: int) -> float:
        start = time.perf_counter()
        state = inputs
        for _ in range(rounds):
            state = torch.tanh(state @ weights)
        state.sum().item()  # waits for the device
        return time.perf_counter() - start

    # The least of several: a first call, or one that was interrupted, says little.
    hundred = min(work(100) for _ in range(5))
    rounds = max(1, round(100 * PIECE_S / max(hundred, 1e-6)))
    return lambda: work(rounds)


def paired_ratios(work: Callable[[], float]) -> list[float]:
    """Time identical work in pairs for ``PAIRS_S``; returns the ratios within the pairs."""
    ratios: list[float] = []
    end = time.perf_counter() + PAIRS_S
    while len(ratios) < FEWEST_PAIRS or time.perf_counter() < end:
        first, second = work(), work()
        # In turn, so that what favours the second place favours neither.
        ratios.append(second / first if len(ratios) % 2 else first / second)
    return ratios
