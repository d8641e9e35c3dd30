"""What the sampler process reads in each poll, and from which call.

A quantity has one source or several, best first. A source that this driver or device lacks gives
way to the next; when none is left, the quantity ends, with the reason, and the others go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from seqprof.samplers.nvml_calls import (
    FATAL,
    LACKING,
    NO_DATA,
    NOT_FOUND,
    NOT_SUPPORTED,
    TRANSIENT,
    Nvml,
    NvmlCallError,
)
from seqprof.samplers.place import SHARED, SampledDevice
from seqprof.samplers.records import Failed, Reading, Record, SampleBatch

#: A transient failure this many times in a row is taken for a lasting one.
TRANSIENT_LIMIT = 10
#: An idle device may buffer no samples at all; after this long, the plain call is read as well.
SILENCE_NS = 1_000_000_000
#: GPM's counters must be more than 100 ms apart, or the ratio is invalid (nvml.h).
GPM_SPACING_NS = 120_000_000

_GPM_METRICS = {
    "sm_active": "NVML_GPM_METRIC_SM_UTIL",
    "sm_occupancy": "NVML_GPM_METRIC_SM_OCCUPANCY",
}
# nvmlValueType_t, and the field of the union that it selects.
_VALUE_FIELDS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


@dataclass(frozen=True)
class ReadingSource:
    """One call that can give a quantity. ``read`` returns None when it is too early to ask."""

    call: str
    read: Callable[[], Reading | SampleBatch | None]


@dataclass
class SampledQuantity:
    """One or several metrics that come from the same call."""

    metrics: tuple[str, ...]
    sources: list[ReadingSource]
    _failures: int = 0
    _last_sample_ns: int = field(default_factory=time.monotonic_ns)

    def poll(self) -> Iterator[Record]:
        """Read once. Raises NvmlCallError only when no call can succeed any more."""
        while self.sources:
            try:
                record = self.sources[0].read()
            except NvmlCallError as failure:
                yield from self._fail(failure)
                if self._failures:
                    return
            else:
                self._failures = 0
                if record is not None:
                    yield record
                    yield from self._poll_while_silent(record)
                return

    def _fail(self, failure: NvmlCallError) -> Iterator[Record]:
        if failure.code in FATAL:
            raise failure
        self._failures += 1
        transient = failure.code in TRANSIENT and self._failures < TRANSIENT_LIMIT
        if not transient:
            self._failures = 0
            del self.sources[0]
        ended = [] if self.sources else list(self.metrics)
        if ended or failure.code not in LACKING:
            yield _failed(failure, ended)

    def _poll_while_silent(self, record: Reading | SampleBatch) -> Iterator[Record]:
        if not isinstance(record, SampleBatch) or record.stamps_us:
            self._last_sample_ns = record.at_ns
        elif record.at_ns - self._last_sample_ns > SILENCE_NS and len(self.sources) > 1:
            try:
                substitute = self.sources[1].read()
            except NvmlCallError as failure:
                if failure.code in FATAL:
                    raise
                del self.sources[1]
                yield _failed(failure, [])
            else:
                if substitute is not None:
                    yield substitute


def _failed(failure: NvmlCallError, ended: list[str]) -> Failed:
    return Failed(time.monotonic_ns(), failure.call, failure.code, failure.detail, ended)


def quantities(nvml: Nvml, place: SampledDevice) -> list[SampledQuantity]:
    """Everything that is read.

    What only an instance of a partitioned GPU knows of itself (memory, activity) is never read from
    the whole board, where others compute too.
    """
    device, board = place.device, place.board

    def plain(
        call: str, metric: str, scale: float, *arguments: Any, **options: Any
    ) -> ReadingSource:
        read = _reader(nvml, call, metric, scale, board, *arguments, **options)
        return ReadingSource(options.get("c_name", call), read)

    power = "nvmlDeviceGetPowerUsage"
    return [
        _utilization(nvml, device, "nvml_utilization", "NVML_GPU_UTILIZATION_SAMPLES", "gpu"),
        _utilization(
            nvml, device, "nvml_memory_utilization", "NVML_MEMORY_UTILIZATION_SAMPLES", "memory"
        ),
        SampledQuantity(
            ("power_w",),
            [
                _samples(nvml, board, "power_w", "NVML_TOTAL_POWER_SAMPLES", 1e-3),
                plain(power, "power_w", 1e-3),
            ],
        ),
        SampledQuantity(
            ("energy_j",), [plain("nvmlDeviceGetTotalEnergyConsumption", "energy_j", 1e-3)]
        ),
        _shared("memory_used_bytes") if place.shared else _memory(nvml, device),
        SampledQuantity(("sm_clock_hz",), [plain("nvmlDeviceGetClockInfo", "sm_clock_hz", 1e6, 1)]),
        SampledQuantity(
            ("memory_clock_hz",), [plain("nvmlDeviceGetClockInfo", "memory_clock_hz", 1e6, 2)]
        ),
        SampledQuantity(
            ("clock_event_reasons",),
            [
                plain("nvmlDeviceGetCurrentClocksEventReasons", "clock_event_reasons", 1),
                plain("nvmlDeviceGetCurrentClocksThrottleReasons", "clock_event_reasons", 1),
            ],
        ),
        SampledQuantity(
            ("temperature_c",),
            [
                plain("nvmlDeviceGetTemperatureV", "temperature_c", 1, 0),
                plain("nvmlDeviceGetTemperature", "temperature_c", 1, 0),
            ],
        ),
        _shared(*_GPM_METRICS)
        if place.shared
        else SampledQuantity(tuple(_GPM_METRICS), [Gpm(nvml, board, place.instance).source()]),
    ]


def _shared(*metrics: str) -> SampledQuantity:
    """What is lacking on a partitioned GPU, where our part of it is not known."""

    def read() -> Reading:
        raise NvmlCallError("MIG", NOT_SUPPORTED, SHARED)

    return SampledQuantity(metrics, [ReadingSource("MIG", read)])


def _reader(
    nvml: Nvml,
    call: str,
    metric: str,
    scale: float,
    *arguments: Any,
    c_name: str | None = None,
    pick: str | None = None,
) -> Callable[[], Reading]:
    """A momentary value: ``pick`` is the field of the answer, where the answer is a structure."""

    def read() -> Reading:
        began = time.monotonic_ns()
        answer = nvml.call(call, *arguments, c_name=c_name)
        latency = time.monotonic_ns() - began
        value = scale * (getattr(answer, pick) if pick else answer)
        return Reading(c_name or call, began, latency, {metric: value})

    return read


def _utilization(nvml: Nvml, device: Any, metric: str, kind: str, pick: str) -> SampledQuantity:
    call = "nvmlDeviceGetUtilizationRates"
    rates = ReadingSource(call, _reader(nvml, call, metric, 1e-2, device, pick=pick))
    return SampledQuantity((metric,), [_samples(nvml, device, metric, kind, 1e-2), rates])


def _memory(nvml: Nvml, device: Any) -> SampledQuantity:
    """Version 2 tells apart what the driver reserves; version 1 counts that as used."""

    def version_2() -> Reading:
        version = nvml.constant("nvmlMemory_v2")
        return _reader(
            nvml,
            "nvmlDeviceGetMemoryInfo",
            "memory_used_bytes",
            1,
            device,
            version,
            c_name="nvmlDeviceGetMemoryInfo_v2",
            pick="used",
        )()

    call = "nvmlDeviceGetMemoryInfo"
    version_1 = _reader(nvml, call, "memory_used_bytes", 1, device, pick="used")
    sources = [
        ReadingSource("nvmlDeviceGetMemoryInfo_v2", version_2),
        ReadingSource(call, version_1),
    ]
    return SampledQuantity(("memory_used_bytes",), sources)


def _samples(nvml: Nvml, device: Any, metric: str, kind: str, scale: float) -> ReadingSource:
    """Samples that the driver buffers, each handed out once.

    The newest stamp goes back as ``lastSeen`` unchanged, since its clock base is not documented.
    """
    call = "nvmlDeviceGetSamples"
    last_seen = 0

    def read() -> SampleBatch:
        nonlocal last_seen
        sampling_type = nvml.constant(kind)
        began = time.monotonic_ns()
        try:
            value_type, samples = nvml.call(call, device, sampling_type, last_seen)
        except NvmlCallError as failure:
            if failure.code != NOT_FOUND:
                raise
            value_type, samples = 1, []
        latency = time.monotonic_ns() - began
        if not 0 <= value_type < len(_VALUE_FIELDS):
            raise NvmlCallError(call, None, f"unknown type of values: {value_type}")
        stamps = [int(sample.timeStamp) for sample in samples]
        last_seen = max(stamps, default=last_seen)
        pick = _VALUE_FIELDS[value_type]
        values = [scale * getattr(sample.sampleValue, pick) for sample in samples]
        return SampleBatch(call, metric, began, latency, stamps, values)

    return ReadingSource(call, read)


class Gpm:
    """GPU Performance Monitoring (Hopper and later): ratios between two samples of counters."""

    call = "nvmlGpmMetricsGet"

    def __init__(self, nvml: Nvml, board: Any, instance: int | None) -> None:
        self._nvml = nvml
        self._board = board
        self._instance = instance
        self._previous: tuple[Any, int] | None = None
        self._spare: Any = None

    def source(self) -> ReadingSource:
        return ReadingSource(self.call, self.read)

    def read(self) -> Reading | None:
        """The ratios since the last sample; None when that is not long enough ago."""
        if self._previous is None:
            self._begin()
            return None
        earlier, earlier_ns = self._previous
        now = time.monotonic_ns()
        if now - earlier_ns < GPM_SPACING_NS:
            return None
        later = self._take(self._spare)
        self._previous, self._spare = (later, now), earlier
        values = self._ratios(earlier, later)
        return Reading(self.call, now, time.monotonic_ns() - now, values, now - earlier_ns)

    def _begin(self) -> None:
        if not self._nvml.call("nvmlGpmQueryDeviceSupport", self._board).isSupportedDevice:
            raise NvmlCallError(
                "nvmlGpmQueryDeviceSupport", NOT_SUPPORTED, "this GPU has no GPM (Hopper and later)"
            )
        first = self._nvml.call("nvmlGpmSampleAlloc")
        self._spare = self._nvml.call("nvmlGpmSampleAlloc")
        began = time.monotonic_ns()
        self._previous = (self._take(first), began)

    def _take(self, sample: Any) -> Any:
        if self._instance is None:
            return self._nvml.call("nvmlGpmSampleGet", self._board, sample)
        return self._nvml.call("nvmlGpmMigSampleGet", self._board, self._instance, sample)

    def _ratios(self, earlier: Any, later: Any) -> dict[str, float]:
        request = self._nvml.constant("c_nvmlGpmMetricsGet_t")()
        request.version = self._nvml.constant("NVML_GPM_METRICS_GET_VERSION")
        request.numMetrics = len(_GPM_METRICS)
        request.sample1, request.sample2 = earlier, later
        for index, constant in enumerate(_GPM_METRICS.values()):
            request.metrics[index].metricId = self._nvml.constant(constant)
        self._nvml.call(self.call, request)
        answers = list(zip(_GPM_METRICS, request.metrics, strict=False))
        # A metric may fail alone (no data yet), and invalid ratios have been seen: left out.
        ratios = {
            name: metric.value / 100
            for name, metric in answers
            if metric.nvmlReturn == 0 and math.isfinite(metric.value) and 0 <= metric.value <= 100
        }
        if not ratios:
            codes = sorted({metric.nvmlReturn for _, metric in answers})
            raise NvmlCallError(self.call, NO_DATA, f"gave no valid ratio (codes {codes})")
        return ratios
