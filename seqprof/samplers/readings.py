"""The values of one metric from one call, placed on the host's clock, with the window of each.

**Driver stamps.** The clock of the driver's time stamps is not documented (time since boot and the
epoch have both been reported). A sample that a call returned was taken before the call returned, so
``host − stamp`` of the newest sample is never less than the true offset between the two clocks; the
least of these over all batches is taken for the offset. Where the least offsets of the first and
the second half of the batches differ by more than `CLOCK_STEP_S`, a clock was set in between (NTP):
no sample can be placed then.

**Windows.** A buffered utilization sample covers an unknown time before its stamp. The spacing of
the stamps is no proof of it: a driver may stamp an average over 1/6 s to 1 s (nvml.h, by product)
every 20 ms. So the window is the longest of the stamps' spacing, 1/6 s, and what the values show:
an average over W takes W from the last idle sample to its full height when the device begins to
work. ``nvmlDeviceGetUtilizationRates`` does not say its period; 1 s is assumed. So is for power,
which the driver averages over 1 s on Ampere and later. Assuming the longest can only reject a
sample, never let in one that saw something else.

**Freshness.** Samples are fresh by the driver's own stamp. ``nvmlDeviceGetUtilizationRates`` and
``nvmlDeviceGetPowerUsage`` give no stamp: a reading counts when its value differs from the one
before (the driver has refreshed it) or when 1 s has passed (it must have).
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

from seqprof.samplers.records import SampleBatch

#: Shortest and longest sample period of NVML's utilization (nvml.h); its power is averaged over
#: the longest.
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1 / 6, 1.0
#: Metrics whose value the driver averages over a time that it does not tell.
AVERAGED = frozenset({"nvml_utilization", "nvml_memory_utilization", "power_w"})
#: GPM's counters are refreshed about this often: a ratio may begin so much earlier than it seems.
GPM_REFRESH_S = 0.1
#: Spacings of stamps and responses are taken from this many of the first samples.
SPACINGS = 1000
#: A device is idle up to this utilization.
IDLE = 0.02
#: Clocks are taken for steady within this, batches of at least so many on either side.
CLOCK_STEP_S, CLOCK_BATCHES = 0.05, 5


@dataclass(slots=True)
class Readings:
    """Readings of one metric by one call, in order of time."""

    at_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    windows_ns: list[int] = field(default_factory=list)

    def window_s(self, metric: str) -> float | None:
        """What each value covers; None for a momentary one."""
        if self.windows_ns:
            return self._longest_ns() / 1e9 + GPM_REFRESH_S
        return LONGEST_WINDOW_S if metric in AVERAGED else None

    def _longest_ns(self) -> int:
        """The window that holds for all usual readings: the longest of theirs."""
        limit = self._limit_ns()
        return max(window for window in self.windows_ns if window <= limit)

    def usual(self) -> list[int]:
        """Which readings count: one after a held-up poll covers more than the others."""
        if not self.windows_ns:
            return list(range(len(self.at_ns)))
        limit = self._limit_ns()
        return [index for index, window in enumerate(self.windows_ns) if window <= limit]

    def _limit_ns(self) -> float:
        return 2 * statistics.median(self.windows_ns[:SPACINGS])

    def count(self, start_ns: int, end_ns: int, window_s: float | None) -> int:
        """Readings that lie, with their windows, inside [start, end]."""
        first = bisect_left(self.at_ns, start_ns + round(1e9 * (window_s or 0.0)))
        last = bisect_right(self.at_ns, end_ns)
        if not self.windows_ns:
            return max(0, last - first)
        limit = self._limit_ns()
        return sum(window <= limit for window in self.windows_ns[first:last])

    def may_be_the_last_one(self, metric: str, at_ns: int, value: float) -> bool:
        """Whether an averaged value may still be the one that was read before."""
        if metric not in AVERAGED or not self.values or value != self.values[-1]:
            return False
        return at_ns - self.at_ns[-1] < LONGEST_WINDOW_S * 1e9


@dataclass(slots=True)
class Stamped:
    """Driver-stamped samples of one metric, in order of stamp."""

    stamps_us: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    offset_ns: int | None = None
    _offsets_ns: list[int] = field(default_factory=list)

    def add(self, batch: SampleBatch) -> None:
        """Take in what one call returned."""
        if not batch.stamps_us:
            return
        offset = batch.at_ns + batch.latency_ns - 1000 * max(batch.stamps_us)
        self._offsets_ns.append(offset)
        self.offset_ns = offset if self.offset_ns is None else min(self.offset_ns, offset)
        for stamp, value in sorted(zip(batch.stamps_us, batch.values, strict=True)):
            if not self.stamps_us or stamp > self.stamps_us[-1]:
                self.stamps_us.append(stamp)
                self.values.append(value)

    def at_ns(self) -> list[int]:
        """The stamps on the host's clock."""
        offset = self.offset_ns or 0
        return [1000 * stamp + offset for stamp in self.stamps_us]

    def count(self, start_ns: int, end_ns: int, window_s: float, since_ns: int) -> int:
        """Samples since then that lie, with their windows, inside [start, end]."""
        offset = self.offset_ns or 0
        earliest_ns = max(start_ns + round(1e9 * window_s), since_ns)
        first = bisect_left(self.stamps_us, (earliest_ns - offset) / 1000)
        return max(0, bisect_right(self.stamps_us, (end_ns - offset) / 1000) - first)

    def window_s(self, metric: str) -> float:
        """What each sample covers, at most."""
        if metric == "power_w" or len(self.stamps_us) < 2:
            return LONGEST_WINDOW_S
        return max(self._spacing_s(), SHORTEST_WINDOW_S, self._response_s())

    def _spacing_s(self) -> float:
        """Median spacing of consecutive stamps."""
        stamps = self.stamps_us[: SPACINGS + 1]
        return statistics.median(b - a for a, b in pairwise(stamps)) / 1e6

    def _response_s(self) -> float:
        """The longest rise from an idle sample, without a fall, to its height; 0 without one."""
        longest_us, last_idle_us, before = 0, None, 0.0
        for stamp, value in zip(self.stamps_us[:SPACINGS], self.values, strict=False):
            if value <= IDLE:
                last_idle_us = stamp
            elif last_idle_us is not None and value > before:
                longest_us = max(longest_us, stamp - last_idle_us)
            else:
                last_idle_us = None  # it has reached its height
            before = value
        return min(longest_us / 1e6, LONGEST_WINDOW_S)

    def clock_step_s(self) -> float | None:
        """By how much the driver's clock was set in the middle, against ours; None if it was not.

        The least offset of half the batches is a batch that came at once, so that of the other
        half must be the same.
        """
        middle = len(self._offsets_ns) // 2
        if middle < CLOCK_BATCHES:
            return None
        first, second = min(self._offsets_ns[:middle]), min(self._offsets_ns[middle:])
        step_s = (first - second) / 1e9
        return step_s if abs(step_s) > CLOCK_STEP_S else None
