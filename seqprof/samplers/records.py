"""What the sampler process writes: one JSON object a line, appended as it happens.

The sampler and the program that started it share nothing but this file, so a recorded file can be
replayed without a GPU (``replay.py``). Times are ``time.monotonic_ns()`` of the host, which all
processes of a Linux machine share; driver stamps are the driver's own microseconds, untouched.

This is the interface for any vendor's sampler. How busy a device was comes in one of two forms:
(utilization, window), as NVML averages it: a `Reading` or a `SampleBatch`; or (busy, at), as an
accumulating counter gives it: a `BusyCounter`. Whoever replays the file sees shares of windows
only.
"""

from __future__ import annotations

import os

import msgspec


class DeviceFacts(msgspec.Struct, tag_field="record", tag="facts", frozen=True):
    """The device that was found; written once, before the first reading."""

    at_ns: int
    driver: str | None
    nvml: str | None
    name: str | None
    uuid: str | None
    mig: bool | None


class Processes(msgspec.Struct, tag_field="record", tag="processes", frozen=True):
    """Which processes compute on the device; asked for at the start and at the end only."""

    at_ns: int
    pids: list[int]


class Reading(msgspec.Struct, tag_field="record", tag="reading", frozen=True):
    """Values that one call (or pair of calls) gave. ``window_ns`` where the call knows it."""

    call: str
    at_ns: int
    latency_ns: int
    values: dict[str, float]
    window_ns: int | None = None


class SampleBatch(msgspec.Struct, tag_field="record", tag="batch", frozen=True):
    """Samples that the driver had buffered since the last batch; empty when there were none."""

    call: str
    metric: str
    at_ns: int
    latency_ns: int
    stamps_us: list[int]
    values: list[float]


class BusyCounter(msgspec.Struct, tag_field="record", tag="counter", frozen=True):
    """How long a device has been busy in all, by an accumulating counter and its own clock.

    So vendors other than NVIDIA give it: the share of a window is ``busy / elapsed`` of two counts.
    """

    call: str
    metric: str
    at_ns: int
    latency_ns: int
    busy_us: int
    stamp_us: int

    def share_since(self, before: BusyCounter) -> float | None:
        """Busy share since an earlier count; None where the counter was set back or stood still."""
        elapsed = self.stamp_us - before.stamp_us
        busy = self.busy_us - before.busy_us
        if elapsed <= 0 or not 0 <= busy <= elapsed:
            return None
        return busy / elapsed


class Failed(msgspec.Struct, tag_field="record", tag="failed", frozen=True):
    """A call failed. ``ended`` names the metrics that nothing reads from now on."""

    at_ns: int
    call: str
    code: int | None
    detail: str
    ended: list[str] = []


class Stopped(msgspec.Struct, tag_field="record", tag="stopped", frozen=True):
    """The sampler ended before it was asked to, or could not begin."""

    at_ns: int
    kind: str
    detail: str
    remedy: str | None


class Hung(msgspec.Struct, tag_field="record", tag="hung", frozen=True):
    """A call has not returned for a while; ``at_ns`` is when it began."""

    at_ns: int
    call: str
    waited_s: float


class End(msgspec.Struct, tag_field="record", tag="end", frozen=True):
    """The sampler ended as it was asked to."""

    at_ns: int


Record = (
    DeviceFacts | Processes | Reading | SampleBatch | BusyCounter | Failed | Stopped | Hung | End
)


class Writer:
    """Appends records to a file. A record is one write, so several threads may write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode

    def write(self, record: Record) -> None:
        """Append one line; it is in the file when this returns."""
        os.write(self._descriptor, self._encode(record) + b"\n")
