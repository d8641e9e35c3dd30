"""What seqprof needs of torch that not every version from 2.4 on has under one name.

Everything else is written against what all of them have; a test reads the sources for it. What a
version lacks altogether costs the figure that needs it, with :func:`lacks` as the reason.

============================  =====  ============================================================
from torch                    since  before
============================  =====  ============================================================
torch.accelerator             2.6    the backend's own module: torch.cuda or torch.xpu
torch.Event on any backend    2.6    the backend's own Event
torch.accelerator's memory    2.9    the backend's own module
profile.acc_events            2.6    no warning of cleared events; see TraceProfiler
CUPTI let go after a profile  later  TEARDOWN_CUPTI, from CUDA 12.6 on
ProfilerActivity.HPU          2.6    no kernels of that device are recorded
a vendor's own profiler      <=2.13   no kernels of that device are recorded
============================  =====  ============================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

#: Backends with a module of their own, asked in this order where torch has no `accelerator`.
_BACKENDS = ("cuda", "xpu")
_HAS_ACCELERATOR = hasattr(torch, "accelerator")
#: Unless this is "1" when a profile ends, Kineto leaves CUPTI in the process, and each launch after
#: it can take longer (pytorch#144455; docs/evidence/h100.md).
#: Before CUDA 12.6, taking it out may crash a process that has CUDA graphs.
_LET_GO, _LET_GO_FROM = "TEARDOWN_CUPTI", (12, 6)
#: torch.profiler's name of what records the kernels of a device; ROCm is cuda, too.
_ACTIVITIES = {"cuda": "CUDA", "xpu": "XPU", "mtia": "MTIA", "hpu": "HPU"}


def lacks(what: str) -> str:
    """Return the reason for a figure that this torch cannot give."""
    return f"torch {torch.__version__} has no {what}"


def current_accelerator() -> torch.device | None:
    """Return the accelerator that can be used now, without an index; None where there is none."""
    if _HAS_ACCELERATOR:
        if not torch.accelerator.is_available():
            return None
        return torch.accelerator.current_accelerator()
    for kind in _BACKENDS:
        module = getattr(torch, kind, None)
        if module is not None and module.is_available():
            return torch.device(kind)
    return None


def device_count() -> int:
    """Return how many accelerators there are."""
    if _HAS_ACCELERATOR:
        return torch.accelerator.device_count()
    device = current_accelerator()
    return 0 if device is None else int(_backend(device).device_count())


def current_index() -> int:
    """Return the index of the accelerator that is used by default."""
    if _HAS_ACCELERATOR:
        return torch.accelerator.current_device_index()
    device = current_accelerator()
    return 0 if device is None else int(_backend(device).current_device())


def use_index(index: int) -> None:
    """Make the accelerator of this index the one that is used by default."""
    if _HAS_ACCELERATOR:
        torch.accelerator.set_device_index(index)
        return
    device = current_accelerator()
    if device is not None:
        _backend(device).set_device(index)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done all that was launched."""
    if _HAS_ACCELERATOR:
        torch.accelerator.synchronize(device)
    else:
        _backend(device).synchronize(device)


def make_event(device: torch.device, *, timed: bool = False) -> torch.Event:
    """Return an event of an accelerator; ``timed`` ones have ``elapsed_time`` between them."""
    if _HAS_ACCELERATOR:
        return torch.Event(device, enable_timing=timed)
    event: torch.Event = _backend(device).Event(enable_timing=timed)
    return event


def reset_peak_memory(device: torch.device) -> None:
    """Let the allocator's peak begin anew.

    Raises:
        NotImplementedError: this torch cannot tell it for the device.
    """
    _memory(device, "reset_peak_memory_stats")(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the allocator's peak since the last reset. Raises as :func:`reset_peak_memory`."""
    return int(_memory(device, "max_memory_allocated")(device))


def allocated_bytes(device: torch.device) -> int:
    """What the caching allocator has handed out now."""
    return int(_memory(device, "memory_allocated")(device))


def empty_cache(device: torch.device) -> None:
    """Give memory that nothing uses back to the driver, where this torch can."""
    generic = getattr(getattr(torch, "accelerator", None), "empty_cache", None)
    own = getattr(_backend(device), "empty_cache", None)
    free = generic or own
    if free is not None:
        free()


class TraceProfiler(profile):
    """torch.profiler for its trace alone.

    Without ``acc_events`` torch warns, as it begins, that it will clear events; with it, torch
    makes an object of each event as it stops, which takes seconds of the program's own time.
    """

    def prepare_trace(self) -> None:
        """Begin, without the warning and without the objects."""
        self.acc_events = True
        super().prepare_trace()
        assert self.profiler is not None
        self.acc_events = self.profiler.acc_events = False


def kernel_activity(device: torch.device) -> ProfilerActivity | None:
    """Return what makes torch.profiler record the kernels of ``device``; None where it cannot."""
    own = device.type == torch._C._get_privateuse1_backend_name()
    name = "PrivateUse1" if own else _ACTIVITIES.get(device.type, "")
    activity = getattr(ProfilerActivity, name, None)
    supported = supported_activities()  # type: ignore[no-untyped-call]
    return activity if activity in supported else None


def stays_after_profiling(device: torch.device) -> bool:
    """Whether what records the kernels of ``device`` slows launches after its profile, too."""
    if device.type != "cuda" or torch.version.cuda is None:  # ROCm is cuda, too
        return False
    wanted = os.environ.get(_LET_GO)
    if wanted is not None:
        return wanted != "1"
    return tuple(int(part) for part in torch.version.cuda.split(".")[:2]) < _LET_GO_FROM


@contextmanager
def letting_go(device: torch.device) -> Iterator[None]:
    """End a profile within this: nothing of it is left in the process, where that can be."""
    if stays_after_profiling(device) or _LET_GO in os.environ:
        yield
        return
    os.environ[_LET_GO] = "1"
    try:
        yield
    finally:
        os.environ.pop(_LET_GO, None)


def _memory(device: torch.device, name: str) -> Any:
    """Return a function of the allocator's statistics: torch's generic one, or the backend's."""
    generic = getattr(getattr(torch, "accelerator", None), name, None)
    function = generic or getattr(_backend(device), name, None)
    if function is None:
        raise NotImplementedError(lacks(f"{name} for {device.type}"))
    return function


def _backend(device: torch.device) -> ModuleType:
    module: ModuleType = torch.get_device_module(device)
    return module
