"""The checks of ``seqprof doctor``: each looks at one thing, changes nothing, says what it saw."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqprof.analysis.run.caveats.every import HIGH_OTHER_LOAD, HIGH_STEAL
from seqprof.analysis.statistics import median_interval
from seqprof.cli.doctor.check import Check
from seqprof.cli.doctor.gpu import gpu_checks, gpus_of, nvml_checks
from seqprof.errors import SeqprofError
from seqprof.samplers.host import HostMeter
from seqprof.samplers.probe import Look, look

if TYPE_CHECKING:
    from seqprof.recording import Device

#: How long the machine is watched for the load by others.
LOAD_WINDOW_S = 0.5
#: How long pairs of identical work are timed, and how long one piece of it should take.
PAIRS_S = 1.0
PIECE_S = 0.004
#: An interval needs six pairs at least; on a very slow machine they take longer than PAIRS_S.
FEWEST_PAIRS = 12
#: A run that hopes to see 2 % (the bound of "equivalent") is in vain above this half width.
COARSE_DIFFERENCE = 0.02


def run_checks(wanted: str) -> list[Check]:
    """Run all checks for the device ``wanted`` (as ``measure.device`` says it); about 3 s.

    NVML is asked first: once torch has begun to use a GPU, this process would be on it too.
    """
    seen = look()
    checks, device = _torch_and_device(wanted, seen)
    checks += nvml_checks(seen, device)
    for gpu in gpus_of(device, seen):
        checks += gpu_checks(gpu)
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
    if load.others_s is None:
        return Check(name="load by others", state="note", finding="the system does not tell it")
    available = load.window_s * _usable_cores()
    others = load.others_s / available
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
