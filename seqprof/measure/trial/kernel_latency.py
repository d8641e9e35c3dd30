"""What the device at hand contributes to a latency floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from seqprof.analysis.depth.model_depth import Assumptions
from seqprof.analysis.run.mfu import find_peak
from seqprof.instruments import torch_bridge
from seqprof.measure.device import describe_device

#: Operations of one chain, and chains that the median is taken of.
_CHAIN, _REPEATS = 1_000, 5
#: Assumed where no device is there to measure and none was given: a launch on a current GPU.
ASSUMED_KERNEL_LATENCY_S = 4e-6


@dataclass(frozen=True, slots=True)
class PresentDevice:
    """The accelerator of this machine.

    Attributes:
        name: as its driver says.
        kernel_latency_s: per operation in a chain of small ones; None where it cannot be timed.
        replayed_latency_s: the same chain replayed as a CUDA graph, without torch's dispatch;
            None where there are no graphs.
        peak_flops: fp32, by the vendor's datasheet; None where it is not in the table.
    """

    name: str
    kernel_latency_s: float | None
    replayed_latency_s: float | None
    peak_flops: float | None


def present_device() -> PresentDevice | None:
    """Return the current accelerator; None where there is none."""
    device = torch_bridge.current_accelerator()
    if device is None:
        return None
    device = torch.device(device.type, torch_bridge.current_index())
    described = describe_device(device)
    peak = find_peak(described.name)
    return PresentDevice(
        described.name,
        measure_kernel_latency(device),
        measure_replayed_latency(device),
        peak.fp32 if peak is not None else None,
    )


def measure_kernel_latency(device: torch.device) -> float | None:
    """Return seconds per operation of a chain of dependent operations on one element.

    They are launched one by one, as an eager model does; where the host cannot launch faster, its
    launches are what is timed, as they are what the model waits for.
    """
    x = torch.zeros(1, device=device)
    try:
        return median(_time_chain(x, lambda: _launch_chain(x)) for _ in range(_REPEATS))
    except (RuntimeError, NotImplementedError):  # the device has no timed events
        return None


def measure_replayed_latency(device: torch.device) -> float | None:
    """Return seconds per operation of the same chain, captured and replayed as a CUDA graph."""
    if device.type != "cuda":
        return None
    x = torch.zeros(1, device=device)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            _launch_chain(x)
        graph.replay()
        return median(_time_chain(x, graph.replay) for _ in range(_REPEATS))
    except RuntimeError:  # the driver or the device has no graphs
        return None


def _launch_chain(x: torch.Tensor) -> None:
    for _ in range(_CHAIN):
        x.add_(1.0)


def _time_chain(x: torch.Tensor, run_chain: Callable[[], None]) -> float:
    """Return seconds per operation of a chain on ``x``, between two events on its stream."""
    start = torch_bridge.make_event(x.device, timed=True)
    end = torch_bridge.make_event(x.device, timed=True)
    x.add_(1.0)
    start.record()
    run_chain()
    end.record()
    torch_bridge.synchronize(x.device)
    return start.elapsed_time(end) * 1e-3 / _CHAIN


def assume(latency_s: float | None = None, peak: float | None = None) -> Assumptions:
    """Return what turns operations into time: as given, else of the device that is present.

    Args:
        latency_s: time per dependent operation.
        peak: FLOP/s at best.
    """
    device = present_device()
    if latency_s is not None:
        source = "given"
    elif device is not None and device.kernel_latency_s is not None:
        latency_s, source = device.kernel_latency_s, f"measured on {device.name}"
        if device.replayed_latency_s is not None:
            source += f"; {device.replayed_latency_s * 1e6:.2g} µs replayed as a CUDA graph"
    else:
        latency_s, source = ASSUMED_KERNEL_LATENCY_S, "assumed; --kernel-latency says another"
    if peak is not None:
        peak_source = "given"
    elif device is not None and device.peak_flops is not None:
        peak, peak_source = device.peak_flops, f"datasheet of {device.name}, fp32"
    else:
        peak_source = "no accelerator whose datasheet is known; give --peak-flops"
    return Assumptions(
        kernel_latency_s=latency_s, latency_source=source, peak_flops=peak, peak_source=peak_source
    )
