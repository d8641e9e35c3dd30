"""What really ran on the simulated accelerator, read from the busy log without NVML.

Times are integer nanoseconds of CLOCK_MONOTONIC, the clock of `time.monotonic_ns()` and, on Linux,
`time.perf_counter_ns()`. The layout is that of busy_log.h.
"""

import mmap
import struct
import time
from collections.abc import Iterable
from pathlib import Path

Interval = tuple[int, int]  # start_ns, end_ns

_MAGIC = 0x32474F4C59535542
_CAPACITY = 1 << 20
_RUNNING = 2**64 - 1
_WORD = 8
_LOG_HEADER = 2 * _WORD  # magic, started_ns
_DEVICE_HEADER = 5 * _WORD  # count, oldest_open, longest_ns, memory_used, lock
_DEVICE_SIZE = _DEVICE_HEADER + 2 * _WORD * _CAPACITY


class LogError(RuntimeError):
    """There is no usable log."""


def intervals(log: Path, device: int = 0) -> list[Interval]:
    """Every interval in which a kernel or copy ran on the device, one each, in order of start.

    Intervals of different streams may overlap. One that has not ended yet ends now. Raises LogError
    when there is no log, or when the ring was too small to keep everything.
    """
    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        if _word(memory, 0) != _MAGIC:
            raise LogError(f"{log} is not a busy log of this version")
        base = _LOG_HEADER + device * _DEVICE_SIZE
        count = _word(memory, base)
        if count > _CAPACITY:
            raise LogError(f"{count} kernels ran; the log keeps only the last {_CAPACITY}")
        ring = memory[base + _DEVICE_HEADER : base + _DEVICE_HEADER + 2 * _WORD * count]
    now = time.monotonic_ns()
    pairs = struct.iter_unpack("<QQ", ring)
    return [(start, now if end == _RUNNING else end) for start, end in pairs]


def busy_ns(busy: Iterable[Interval], start_ns: int, end_ns: int) -> int:
    """Length of the union of intervals, in order of start, within [start_ns, end_ns)."""
    total, counted_until = 0, start_ns
    for start, end in busy:
        begin, stop = max(start, counted_until), min(end, end_ns)
        if stop > begin:
            total += stop - begin
            counted_until = stop
    return total


def _word(memory: mmap.mmap, offset: int) -> int:
    return int.from_bytes(memory[offset : offset + _WORD], "little")
