"""A busy log for the simulated NVML library, written by hand: what NVML must then report is known.

The layout is that of simaccel/busy_log.h.
"""

import struct
import time
from collections.abc import Sequence
from pathlib import Path

_MAGIC = 0x32474F4C59535542
_DEVICES = 8
_CAPACITY = 1 << 20
_LOG_HEADER = struct.Struct("<QQ")  # magic, started_ns
_DEVICE_HEADER = struct.Struct("<QQQQQ")  # count, oldest_open, longest_ns, memory_used, lock
_INTERVAL = struct.Struct("<QQ")
_DEVICE_SIZE = _DEVICE_HEADER.size + _INTERVAL.size * _CAPACITY

Interval = tuple[int, int]  # start and end, time.monotonic_ns(); may lie in the future


def plant(
    path: Path, busy: Sequence[Interval], device: int = 0, memory_used: int = 0
) -> Sequence[Interval]:
    """Write a log in which `device` is busy in these intervals, in order, and no other is."""
    longest = max((end - start for start, end in busy), default=0)
    with path.open("wb") as file:
        file.truncate(_LOG_HEADER.size + _DEVICES * _DEVICE_SIZE)
        file.write(_LOG_HEADER.pack(_MAGIC, time.monotonic_ns() - 1_000_000_000))
        file.seek(_LOG_HEADER.size + device * _DEVICE_SIZE)
        file.write(_DEVICE_HEADER.pack(len(busy), len(busy), longest, memory_used, 0))
        file.write(b"".join(_INTERVAL.pack(*interval) for interval in busy))
    return busy


def duty(start_ns: int, end_ns: int, period_ns: int, share: float) -> list[Interval]:
    """Busy for the first `share` of each period."""
    length = int(period_ns * share)
    return [(at, at + length) for at in range(start_ns, end_ns, period_ns)]
