"""What the device at hand contributes to a latency floor."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch

from seqprof.analysis.mfu import find_peak
from seqprof.measure.device import describe_device

#: Operations of one chain, and chains that the median is taken of.
_CHAIN, _REPEATS = 1_000, 5


@dataclass(frozen=True, slots=True)
class PresentDevice:
    """The accelerator of this machine.

    Attributes:
        name: as its driver says.
        kernel_latency_s: per operation in a chain of small ones; None where it cannot be timed.
        peak_flops: fp32, by the vendor's datasheet; None where it is not in the table.
    """

    name: str
    kernel_latency_s: float | None
    peak_flops: float | None


def present_device() -> PresentDevice | None:
    """Return the current accelerator; None where there is none."""
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        return None
    device = torch.device(device.type, torch.accelerator.current_device_index())
    described = describe_device(device)
    peak = find_peak(described.name)
    return PresentDevice(
        described.name, measure_kernel_latency(device), peak.fp32 if peak is not None else None
    )


def measure_kernel_latency(device: torch.device) -> float | None:
    """Return seconds per operation of a chain of dependent operations on one element.

    They are launched one by one, as an eager model does; where the host cannot launch faster, its
    launches are what is timed, as they are what the model waits for.
    """
    x = torch.zeros(1, device=device)
    try:
        return median(_time_chain(x, device) for _ in range(_REPEATS))
    except (RuntimeError, NotImplementedError):  # the device has no timed events
        return None


def _time_chain(x: torch.Tensor, device: torch.device) -> float:
    start = torch.Event(device, enable_timing=True)
    end = torch.Event(device, enable_timing=True)
    x.add_(1.0)
    start.record()
    for _ in range(_CHAIN):
        x.add_(1.0)
    end.record()
    torch.accelerator.synchronize(device)
    return start.elapsed_time(end) * 1e-3 / _CHAIN
