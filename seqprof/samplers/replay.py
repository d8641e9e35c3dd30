"""Reading what the sampler process wrote, while it runs or long after, without a GPU.

``readings.py`` says how samples are placed on the host's clock and what time each one covers.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from seqprof.recording import CallLatency, DeviceSamples, Incident, SampleSeries
from seqprof.samplers.nvml_calls import LACKING
from seqprof.samplers.readings import Readings, Stamped
from seqprof.samplers.records import (
    BusyCounter,
    DeviceFacts,
    End,
    Failed,
    Hung,
    Processes,
    Reading,
    Record,
    SampleBatch,
    Stopped,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFacts:
    """Versions of the driver and of the library that watches the device; None where unknown."""

    driver: str | None = None
    nvml: str | None = None

    @property
    def monitor(self) -> str | None:
        """The library with its version, as a recording keeps it."""
        return None if self.nvml is None else f"NVML {self.nvml}"


class SampleLog:
    """The sampler's records, taken in piece by piece.

    Args:
        origin_ns: ``time.monotonic_ns()`` of the instant that counts as 0 s.
    """

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self._rest = b""
        self._decode = msgspec.json.Decoder(Record).decode
        self._readings: dict[tuple[str, str], Readings] = defaultdict(Readings)
        self._stamped: dict[tuple[str, str], Stamped] = defaultdict(Stamped)
        self._counters: dict[tuple[str, str], BusyCounter] = {}
        self._latencies: dict[str, list[int]] = defaultdict(list)
        self._failures: dict[tuple[str, int | None], list[Failed]] = defaultdict(list)
        self._hung: Hung | None = None  # only the main thread's silence: a later record ends it
        self._processes: list[Processes] = []
        self._unreadable = 0
        self.facts: DeviceFacts | None = None
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
        self._hung = record if isinstance(record, Hung) else None
        match record:
            case SampleBatch():
                self._latencies[record.call].append(record.latency_ns)
                self._stamped[record.metric, record.call].add(record)
            case Reading():
                self._latencies[record.call].append(record.latency_ns)
                for metric, value in record.values.items():
                    self._take_value(record, metric, value)
            case BusyCounter():
                self._latencies[record.call].append(record.latency_ns)
                self._take_counter(record)
            case Failed():
                self._failures[record.call, record.code].append(record)
            case Processes():
                self._processes.append(record)
            case DeviceFacts():
                self.facts = record
            case Stopped():
                self.stopped = record
            case End():
                self.ended = True

    def _take_counter(self, record: BusyCounter) -> None:
        """Turn two counts into a share of the time between them, as an averaging vendor gives."""
        before = self._counters.get((record.metric, record.call))
        self._counters[record.metric, record.call] = record
        if before is None:
            return
        share = record.share_since(before)
        if share is not None:
            readings = self._readings[record.metric, record.call]
            readings.at_ns.append(record.at_ns)
            readings.values.append(share)
            readings.windows_ns.append(record.at_ns - before.at_ns)

    def _take_value(self, record: Reading, metric: str, value: float) -> None:
        readings = self._readings[metric, record.call]
        if readings.may_be_the_last_one(metric, record.at_ns, value):
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
            one.count(start_ns, end_ns, one.window_s(metric), self._since_ns())
            for (name, _), one in self._stamped.items()
            if name == metric
        )
        read = (
            one.count(start_ns, end_ns, one.window_s(metric))
            for (name, _), one in self._readings.items()
            if name == metric
        )
        return max([0, *stamped, *read])

    def series(self) -> list[SampleSeries]:
        """All readings, one series for each metric and call; a metric may come from two calls."""
        all_series = []
        unplaceable = self._clock_steps()
        for (metric, call), stamped in self._stamped.items():
            if metric in unplaceable:
                continue
            window_s = stamped.window_s(metric)
            at_ns = [at for at in stamped.at_ns() if at >= self._since_ns()]
            values = stamped.values[len(stamped.values) - len(at_ns) :]
            all_series.append(self._series(metric, call, at_ns, values, window_s))
        for (metric, call), read in self._readings.items():
            window_s_or_none = read.window_s(metric)
            usual = read.usual()
            at_ns = [read.at_ns[i] for i in usual]
            values = [read.values[i] for i in usual]
            all_series.append(self._series(metric, call, at_ns, values, window_s_or_none))
        return [one for one in all_series if one.at_s]

    def _clock_steps(self) -> dict[str, float]:
        """Metric to the seconds by which the clock of its stamps was set meanwhile."""
        steps = {metric: one.clock_step_s() for (metric, _), one in self._stamped.items()}
        return {metric: step for metric, step in steps.items() if step is not None}

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
            return f"{self._hung.call} did not answer"
        return "the sampler did not get to read anything"

    def absent(self, present: Iterable[str] = ()) -> dict[str, str]:
        """Metric to the reason why nothing reads it (any more), for those not in ``present``."""
        mig = " (MIG is on)" if self.facts and self.facts.mig else ""
        reasons = {
            metric: f"{failed.call}: {failed.detail}{mig}"
            for failures in self._failures.values()
            for failed in failures
            for metric in failed.ended
        } | {
            metric: f"the clock of its stamps was set by {step:+.2f} s in the middle"
            for metric, step in self._clock_steps().items()
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
        own_is_listed = bool(own.intersection(self._processes[-1].pids))
        return len(everyone - own) if own_is_listed else len(everyone) - 1

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
        if self._hung:
            yield Incident(
                kind="nvml_hang",
                detail=f"{self._hung.call} did not answer for {self._hung.waited_s:.1f} s",
                at_s=self._seconds(self._hung.at_ns),
            )
        if steps := self._clock_steps():
            largest = max(steps.values(), key=abs)
            yield Incident(
                kind="clock_set",
                detail=f"the clock of NVML's stamps was set by {largest:+.2f} s in the middle: "
                f"samples of {', '.join(sorted(steps))} cannot be placed in time",
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


def load(path: Path, origin_ns: int = 0) -> SampleLog:
    """Read a file that the sampler process wrote. Raises OSError."""
    log = SampleLog(origin_ns)
    log.feed(path.read_bytes())
    return log
