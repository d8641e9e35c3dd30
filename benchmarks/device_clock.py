"""The benchmarks' `--device`, and how long something takes by that device's own clock."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from seqprof.errors import SeqprofError
from seqprof.instruments.clocks import event_pool, host_clock_ns, synchronize
from seqprof.measure.device import choose_device


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add `--device`, which becomes a device that exists."""
    parser.add_argument("--device", type=_device, default="cpu", help="cpu, auto, cuda:1 … [cpu]")


def _device(name: str) -> torch.device:
    try:
        return choose_device(name)
    except SeqprofError as error:
        raise argparse.ArgumentTypeError(error.message) from error


class DeviceClock:
    """Time stamps on the host, or of an accelerator's stream.

    Args:
        device: what the work runs on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._events = event_pool(device)

    def begin(self) -> None:
        """Wait until the device is idle, and forget earlier stamps."""
        synchronize(self.device)
        if self._events is not None:
            self._events.reset()

    def stamp(self) -> int | torch.Event:
        """Take one: at once on the CPU, else when the stream has come so far."""
        return host_clock_ns() if self._events is None else self._events.record()

    def seconds(self, start: int | torch.Event, end: int | torch.Event) -> float:
        """Time between two stamps; waits for the device."""
        synchronize(self.device)
        if isinstance(start, int) or isinstance(end, int):
            assert isinstance(start, int)
            assert isinstance(end, int)
            return (end - start) * 1e-9
        assert self._events is not None
        return self._events.seconds(start, end)

    def time(self, work: Callable[[], object]) -> float:
        """Seconds of ``work``, from an idle device to one that is done."""
        self.begin()
        start = self.stamp()
        work()
        end = self.stamp()
        return self.seconds(start, end)
