"""What the starting process does while the script runs: the device's sampler, looks at the log."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from seqprof.attach.outside.progress import LoopProgress
from seqprof.recording import Device, DeviceSamples, Incident
from seqprof.samplers.device import DeviceSampler

#: How often NVML is polled, in seconds.
INTERVAL_S = 0.02
_WORD = 8


class Beside:
    """Looks at what the agents have written so far.

    Args:
        folder: where they write.
        show: told of the progress at each look.

    Attributes:
        origin_ns: second 0 of the device's readings, on the host's monotonic clock.
    """

    def __init__(self, folder: Path, show: Callable[[LoopProgress], None] | None = None) -> None:
        self._folder = folder
        self._show = show
        self._progress: LoopProgress | None = None
        self._sampler: DeviceSampler | None = None
        self.origin_ns = 0

    def look(self, _pid: int) -> None:
        """Called every half second."""
        if self._progress is None or self._progress.complete:
            self._progress = self._newest_window() or self._progress
        if self._progress is None:
            return
        self._progress.read()
        if self._sampler is None:
            self._start_sampler(self._progress)
        if self._show is not None:
            self._show(self._progress)

    def _newest_window(self) -> LoopProgress | None:
        """The newest log with events of the process of rank 0 that came first."""
        for first in sorted(self._folder.glob("rank0.*.events"), key=_begun_ns):
            of_process = ".".join(first.name.split(".")[:2])
            windows = sorted(self._folder.glob(f"{of_process}.*events"), key=_begun_ns)
            path = next((path for path in reversed(windows) if _begun_ns(path)), None)
            if path is not None:
                same = self._progress is not None and self._progress.path == path
                return self._progress if same else LoopProgress(path)
        return None

    # --- the device ----------------------------------------------------------------------------

    def _start_sampler(self, progress: LoopProgress) -> None:
        device = _device(progress)
        if device is not None and device.is_accelerator:
            self.origin_ns = _begun_ns(progress.path)
            self._sampler = DeviceSampler(device, INTERVAL_S, self.origin_ns)
            self._sampler.__enter__()

    def finish(self) -> tuple[DeviceSamples, tuple[Incident, ...]] | None:
        """End the sampler; None where there was no device to sample."""
        if self._sampler is None:
            return None
        samples, incidents, _ = self._sampler.finish()
        return samples, incidents


def _begun_ns(path: Path) -> int:
    """When the first event of a log was; 0 where there is none yet."""
    with path.open("rb") as file:
        head = file.read(_WORD)
    return int(struct.unpack("<q", head)[0]) if len(head) == _WORD else 0


def _device(progress: LoopProgress) -> Device | None:
    """The device that the agent has named, once it has."""
    fact = progress.fact("process")
    if fact is None:
        return None
    named = fact["device"]
    return Device(
        kind=named["kind"],
        name=named.get("name") or named["kind"],
        index=named.get("index"),
        uuid=named.get("uuid"),
    )
