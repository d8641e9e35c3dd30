"""Reading what the sampler process wrote, while it runs or long after, without a GPU.

**Driver stamps.** The clock of the driver's time stamps is not documented (time since boot and the
epoch have both been reported). A sample that a call returned was taken before the call returned, so
``host − stamp`` of the newest sample is never less than the true offset between the two clocks; the
least of these over all batches is taken for the offset.

**Windows.** A buffered utilization sample covers the time since the sample before it: the median
spacing of the driver's stamps. ``nvmlDeviceGetUtilizationRates`` covers 1/6 s to 1 s, by product,
and does not say which; 1 s is assumed. So is for power, which the driver averages over 1 s on
Ampere and later. Assuming the longest can only reject a sample, never let in one that saw
something else.

**Freshness.** Samples are fresh by the driver's own stamp. ``nvmlDeviceGetUtilizationRates`` and
``nvmlDeviceGetPowerUsage`` give no stamp: a reading counts when its value differs from the one
before (the driver has refreshed it) or when 1 s has passed (it must have).
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec

from seqprof.recording import CallLatency, DeviceSamples, Incident, SampleSeries
from seqprof.samplers.nvml_calls import LACKING
from seqprof.samplers.records import (
    Batch,
    End,
    Facts,
    Failed,
    Hung,
    Processes,
    Reading,
    Record,
    Stopped,
)

#: The longest sample period of NVML's utilization, and the averaging time of its power (nvml.h).
LONGEST_WINDOW_S = 1.0
#: Metrics whose value the driver averages over a time that it does not tell.
AVERAGED = frozenset({"nvml_utilization", "nvml_memory_utilization", "power_w"})
#: GPM's counters are refreshed about this often: a ratio may begin so much earlier than it seems.
GPM_REFRESH_S = 0.1
#: The spacing of stamps is taken from this many of the first samples.
SPACINGS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """Versions of the driver and of the NVML library; None where they could not be asked."""

    driver: str | None = None
    nvml: str | None = None


@dataclass(slots=True)
class _Readings:
    """Readings of one metric by one call, in order of time."""

    at_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    windows_ns: list[int] = field(default_factory=list)

    def longest_ns(self) -> int:
        """The window that holds for all readings that are kept: the longest of the usual ones."""
        limit = self._limit_ns()
        return max(window for window in self.windows_ns if window <= limit)

    def usual(self) -> list[int]:
        """Which readings are kept: one after a held-up poll covers more than the others."""
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


@dataclass(slots=True)
class _Stamped:
    """Driver-stamped samples of one metric, in order of stamp."""

    stamps_us: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    offset_ns: int | None = None

    def add(self, batch: Batch) -> None:
        if not batch.stamps_us:
            return
        offset = batch.at_ns + batch.latency_ns - 1000 * max(batch.stamps_us)
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

    def spacing_s(self) -> float:
        """Median spacing of consecutive stamps; the longest window when there is but one."""
        stamps = self.stamps_us[: SPACINGS + 1]
        if len(stamps) < 2:
            return LONGEST_WINDOW_S
        return statistics.median(b - a for a, b in pairwise(stamps)) / 1e6


class SampleLog:
    """The sampler's records, taken in piece by piece.

    Args:
        origin_ns: ``time.monotonic_ns()`` of the instant that counts as 0 s.
    """

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self._rest = b""
        self._decode = msgspec.json.Decoder(Record).decode
        self._readings: dict[tuple[str, str], _Readings] = defaultdict(_Readings)
        self._stamped: dict[tuple[str, str], _Stamped] = defaultdict(_Stamped)
        self._latencies: dict[str, list[int]] = defaultdict(list)
        self._failures: dict[tuple[str, int | None], list[Failed]] = defaultdict(list)
        self._hung: list[Hung] = []
        self._processes: list[Processes] = []
        self._unreadable = 0
        self.facts: Facts | None = None
        self.stopped: Stopped | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Take in what was appended to the file; a line cut short waits for its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                self._take(self._decode(line))
            except (msgspec.MsgspecError, ValueError):
                self._unreadable += 1

    def _take(self, record: Record) -> None:
        match record:
            case Batch():
                self._latencies[record.call].append(record.latency_ns)
                self._stamped[record.metric, record.call].add(record)
            case Reading():
                self._latencies[record.call].append(record.latency_ns)
                for metric, value in record.values.items():
                    self._take_value(record, metric, value)
            case Failed():
                self._failures[record.call, record.code].append(record)
            case Processes():
                self._processes.append(record)
            case Hung():
                self._hung.append(record)
            case Facts():
                self.facts = record
            case Stopped():
                self.stopped = record
            case End():
                self.ended = True

    def _take_value(self, record: Reading, metric: str, value: float) -> None:
        readings = self._readings[metric, record.call]
        if _is_repetition(metric, record, value, readings):
            return
        # The value was read somewhere within the call; a window ends where the call began.
        inside = record.latency_ns // 2 if record.window_ns is None else 0
        readings.at_ns.append(record.at_ns + inside)
        readings.values.append(value)
        if record.window_ns is not None:
            readings.windows_ns.append(record.window_ns)

    @property
    def began(self) -> bool:
        """Whether the sampler has found its device, or has ended without."""
        return self.facts is not None or self.stopped is not None

    def fresh_samples(self, metric: str, start_s: float, end_s: float) -> int:
        """How many samples of ``metric`` lie wholly, with their windows, inside [start, end].

        Where two calls gave the metric, the better served of the two counts.
        """
        start_ns, end_ns = (self._origin_ns + round(1e9 * at) for at in (start_s, end_s))
        stamped = (
            one.count(start_ns, end_ns, _stamped_window_s(metric, one), self._since_ns())
            for (name, _), one in self._stamped.items()
            if name == metric
        )
        read = (
            one.count(start_ns, end_ns, _reading_window_s(metric, one))
            for (name, _), one in self._readings.items()
            if name == metric
        )
        return max([0, *stamped, *read])

    def series(self) -> list[SampleSeries]:
        """All readings, one series for each metric and call; a metric may come from two calls."""
        all_series = []
        for (metric, call), stamped in self._stamped.items():
            window_s = _stamped_window_s(metric, stamped)
            at_ns = [at for at in stamped.at_ns() if at >= self._since_ns()]
            values = stamped.values[len(stamped.values) - len(at_ns) :]
            all_series.append(self._series(metric, call, at_ns, values, window_s))
        for (metric, call), read in self._readings.items():
            window_s_or_none = _reading_window_s(metric, read)
            kept = read.usual()
            at_ns = [read.at_ns[i] for i in kept]
            values = [read.values[i] for i in kept]
            all_series.append(self._series(metric, call, at_ns, values, window_s_or_none))
        return [one for one in all_series if one.at_s]

    def _since_ns(self) -> int:
        """What the driver had buffered before the sampler began belongs to nobody here."""
        return self.facts.at_ns if self.facts else self._origin_ns

    def _series(
        self, metric: str, call: str, at_ns: list[int], values: list[float], window_s: float | None
    ) -> SampleSeries:
        at_s = tuple(map(self._seconds, at_ns))
        return SampleSeries(
            metric=metric, source=call, at_s=at_s, value=tuple(values), window_s=window_s
        )

    def samples(self, own: Iterable[int] = (), reason: str | None = None) -> DeviceSamples:
        """Everything, as a recording keeps it.

        Args:
            own: pids that are not "others" on the device.
            reason: why there are no samples, where the sampler could not say so itself.
        """
        series = tuple(self.series())
        latencies = tuple(
            CallLatency(
                call=call,
                calls=len(ns),
                median_s=statistics.median(ns) / 1e9,
                maximum_s=max(ns) / 1e9,
            )
            for call, ns in self._latencies.items()
        )
        return DeviceSamples(
            series=series,
            latencies=latencies,
            mig=bool(self.facts and self.facts.mig),
            other_processes=self._other_processes(frozenset(own)),
            reason=None if series else (reason or self._why_nothing()),
            absent=self.absent({one.metric for one in series}),
        )

    def _why_nothing(self) -> str:
        if self.stopped:
            return self.stopped.detail
        if self._hung:
            return f"{self._hung[0].call} did not answer"
        return "the sampler did not get to read anything"

    def absent(self, present: Iterable[str] = ()) -> dict[str, str]:
        """Metric to the reason why nothing reads it (any more), for those not in ``present``."""
        mig = " (MIG is on)" if self.facts and self.facts.mig else ""
        reasons = {
            metric: f"{failed.call}: {failed.detail}{mig}"
            for failures in self._failures.values()
            for failed in failures
            for metric in failed.ended
        }
        return {metric: why for metric, why in reasons.items() if metric not in set(present)}

    def _other_processes(self, own: frozenset[int]) -> int | None:
        """Processes on the device besides the one that trains, before or after; None if not known.

        The process that trains is on the device at the end. In a container its number there is
        another, so it may not be found by number: then one of those at the end is taken for it.
        """
        if len(self._processes) < 2 or not self._processes[-1].pids:
            return None
        everyone = {pid for seen in self._processes for pid in seen.pids}
        found = bool(own.intersection(self._processes[-1].pids))
        return len(everyone - own) if found else len(everyone) - 1

    def incidents(self) -> tuple[Incident, ...]:
        """What went wrong and cost something.

        That a device lacks a quantity is no incident (see ``absent``), nor is a call that failed
        where another gave the same.
        """
        return tuple(self._incidents())

    def _incidents(self) -> Iterator[Incident]:
        if self.facts and self.facts.mig:
            yield Incident(
                kind="mig",
                detail="the GPU is partitioned (MIG): NVML gives no utilization; power, energy "
                "and clocks are the whole GPU's",
            )
        present = {one.metric for one in self.series()}
        for (call, code), failures in self._failures.items():
            ended = {metric for failed in failures for metric in failed.ended}
            if ended & present or (ended and code not in LACKING):
                yield self._failure_incident(call, failures, sorted(ended))
        for hung in self._hung:
            yield Incident(
                kind="nvml_hang",
                detail=f"{hung.call} did not answer for {hung.waited_s:.1f} s",
                at_s=self._seconds(hung.at_ns),
            )
        if self.stopped:
            remedy = f". Remedy: {self.stopped.remedy}" if self.stopped.remedy else ""
            yield Incident(
                kind=self.stopped.kind,
                detail=self.stopped.detail + remedy,
                at_s=self._seconds(self.stopped.at_ns),
            )
        if self._unreadable:
            detail = f"{self._unreadable} records of the sampler could not be read"
            yield Incident(kind="nvml_error", detail=detail)

    def _failure_incident(self, call: str, failures: list[Failed], ended: list[str]) -> Incident:
        last = failures[-1]
        times = "" if len(failures) == 1 else f" {len(failures)} times"
        return Incident(
            kind="nvml_error",
            detail=f"{call} failed{times}: {last.detail}; no readings of {', '.join(ended)} after "
            "that",
            at_s=self._seconds(last.at_ns),
        )

    def driver_facts(self) -> DriverFacts:
        """The driver's and the library's version."""
        if self.facts is None:
            return DriverFacts()
        return DriverFacts(driver=self.facts.driver, nvml=self.facts.nvml)

    def _seconds(self, at_ns: int) -> float:
        return (at_ns - self._origin_ns) / 1e9


def _is_repetition(metric: str, record: Reading, value: float, readings: _Readings) -> bool:
    """Whether an averaged value may still be the one that was read before."""
    if metric not in AVERAGED or not readings.values or value != readings.values[-1]:
        return False
    return record.at_ns - readings.at_ns[-1] < LONGEST_WINDOW_S * 1e9


def _stamped_window_s(metric: str, stamped: _Stamped) -> float:
    return LONGEST_WINDOW_S if metric == "power_w" else stamped.spacing_s()


def _reading_window_s(metric: str, readings: _Readings) -> float | None:
    if readings.windows_ns:
        return readings.longest_ns() / 1e9 + GPM_REFRESH_S
    return LONGEST_WINDOW_S if metric in AVERAGED else None


def load(path: Path, origin_ns: int = 0) -> SampleLog:
    """Read a file that the sampler process wrote. Raises OSError."""
    log = SampleLog(origin_ns)
    log.feed(path.read_bytes())
    return log
