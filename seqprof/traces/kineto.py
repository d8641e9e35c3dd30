"""What torch.profiler writes (Kineto, any version, CUDA, ROCm, XPU …) → a ``Timeline``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqprof.analysis.timeline.structure import (
    ANNOTATION,
    COPY,
    KERNEL,
    MODULE,
    NO_DEVICE,
    NO_LAUNCH,
    OPERATOR,
    RUNTIME,
    SET,
    Activities,
    Defects,
    HostEvents,
    Ints,
    Timeline,
)
from seqprof.errors import SeqprofError
from seqprof.traces.columns import Codes, ThreadCodes, integers, nanoseconds, present
from seqprof.traces.events import Args, Event, Header
from seqprof.traces.reader import DamagedError, EventReader, NotATraceError
from seqprof.traces.source import ReadAhead, place_of

#: Categories of device activity, in the new schema and in that of 2021.
_DEVICE = {
    "kernel": KERNEL,
    "concurrent_kernel": KERNEL,
    "Kernel": KERNEL,
    "mtia_ccp_events": KERNEL,
    "hpu_op": KERNEL,
    "gpu_memcpy": COPY,
    "Memcpy": COPY,
    "gpu_memset": SET,
    "Memset": SET,
}
_HOST = {
    "cpu_op": OPERATOR,
    "Operator": OPERATOR,
    "user_annotation": ANNOTATION,
    "python_function": MODULE,
    "Runtime": RUNTIME,
}
_RUNTIME_SUFFIXES = ("_runtime", "_driver")
#: In the schema of 2021 annotations are operators; these are how torch and its users spell them.
_OLD_ANNOTATION = r"ProfilerStep#|Optimizer\.|enumerate\(DataLoader\)|## |nccl:"
_MODULE = "nn.Module: "
_PROFILER_LOG = r"(?i)drop|lost|out of (?:memory|buffer)|overflow"
_MAX_WARNINGS = 5
_NO_ARGS = Args()


class _Device(NamedTuple):
    device: Ints
    stream: Ints
    start: Ints
    end: Ints
    kind: Ints
    name: Ints
    correlation: Ints
    bytes: Ints


class _Host(NamedTuple):
    start: Ints
    end: Ints
    thread: Ints
    kind: Ints
    name: Ints
    sequence: Ints
    correlation: Ints


class _Builder:
    """Columns of the batches seen so far."""

    def __init__(self) -> None:
        self.names = Codes()
        self.threads = ThreadCodes()
        self.device: list[_Device] = []
        self.host: list[_Host] = []
        self.counts: Counter[str] = Counter()

    def add(self, batch: list[Event]) -> None:
        """Sort a batch by category and append its columns."""
        by_category: defaultdict[str | None, list[Event]] = defaultdict(list)
        for event in batch:
            if event.ph == "X":
                by_category[event.cat].append(event)
        self.counts["complete"] += sum(map(len, by_category.values()))
        for category, events in by_category.items():
            if category in _DEVICE:
                self._add_device(events, _DEVICE[category])
            elif (kind := _host_kind(category)) is not None:
                self._add_host(events, kind, is_old=category == "Operator")

    def _times(self, events: list[Event]) -> tuple[list[Event], Ints, Ints]:
        """Start and end of the events that have both; the others are counted and left out."""
        start = nanoseconds([event.ts for event in events])
        duration = nanoseconds([event.dur for event in events])
        timed = present(start) & present(duration)
        if not timed.all():
            self.counts["untimed"] += int((~timed).sum())
            events = [event for event, keep in zip(events, timed, strict=True) if keep]
            start, duration = start[timed], duration[timed]
        self.counts["negative"] += int((duration < 0).sum())
        return events, start, start + np.maximum(duration, 0)

    def _add_device(self, events: list[Event], kind: int) -> None:
        events, start, end = self._times(events)
        args = [event.args or _NO_ARGS for event in events]
        device = integers([each.device for each in args], -1)
        stream = integers([each.stream for each in args], -1)
        correlation = integers([each.correlation for each in args], -1)
        self.counts["uncorrelated"] += int((correlation < 0).sum())
        # Without arguments the row of the trace tells: a device's process is its index.
        device = np.where(device < 0, integers([event.pid for event in events], -1), device)
        device = np.maximum(device, NO_DEVICE)
        stream = np.where(stream < 0, integers([event.tid for event in events], -1), stream)
        self.device.append(
            _Device(
                device,
                stream,
                start,
                end,
                np.full(len(events), kind),
                self.names.of([event.name or "" for event in events]),
                correlation,
                integers([each.bytes for each in args], 0),
            )
        )

    def _add_host(self, events: list[Event], kind: int, is_old: bool) -> None:
        if kind == MODULE:
            events = [e for e in events if e.name is not None and e.name.startswith(_MODULE)]
        events, start, end = self._times(events)
        count = len(events)
        names = [event.name or "" for event in events]
        kinds = np.full(count, kind)
        if is_old:
            kinds[[bool(re.match(_OLD_ANNOTATION, name)) for name in names]] = ANNOTATION
        nothing = np.full(count, -1)
        sequence = correlation = nothing
        if kind == OPERATOR:
            sequence = integers([(e.args or _NO_ARGS).sequence for e in events], -1)
        elif kind == RUNTIME:
            correlation = integers([(e.args or _NO_ARGS).correlation for e in events], -1)
        thread = self.threads.of([(event.pid, event.tid) for event in events])
        self.host.append(
            _Host(start, end, thread, kinds, self.names.of(names), sequence, correlation)
        )


def _host_kind(category: str | None) -> int | None:
    if category is None:
        return None
    kind = _HOST.get(category)
    return RUNTIME if kind is None and category.endswith(_RUNTIME_SUFFIXES) else kind


def read_trace(source: Path | ReadAhead, partial: bool = False) -> Timeline:
    """Read a trace file of torch.profiler, plain or gzip.

    It is read in one pass in pieces of 1 MB, so memory grows with the number of events kept
    (about 100 bytes each) and not with the size of the file.

    Args:
        source: the file, or one that is being read already.
        partial: use the whole events of a truncated or damaged file.

    Raises:
        SeqprofError: the file cannot be read, is no trace, or is damaged and ``partial`` is off.
    """
    ahead = source if isinstance(source, ReadAhead) else ReadAhead(source)
    path = ahead.path
    reader, builder = EventReader(partial), _Builder()
    try:
        for batch in reader.batches(iter(ahead)):
            builder.add(batch)
    except NotATraceError as error:
        raise SeqprofError(
            f"{path} is not a trace: {error}",
            "give a file written by torch.profiler's export_chrome_trace (.json or .json.gz)",
        ) from error
    except DamagedError as error:
        how = "truncated" if error.truncated else "damaged"
        raise SeqprofError(
            f"{place_of(path, error.at)}: the trace is {how}: {error.what}",
            "--partial analyses the events that are whole",
        ) from error
    return _timeline(path.name, builder, reader)


def _timeline(source: str, builder: _Builder, reader: EventReader) -> Timeline:
    names = tuple(builder.names)
    rank = _rank_of_each_name(names)
    host = _ordered_host(_Host(*_joined(builder.host, len(_Host._fields))), rank)
    device = _Device(*_joined(builder.device, len(_Device._fields)))
    return Timeline(
        source=source,
        events=builder.counts["complete"],
        names=names,
        activities=_activities(device, host, rank),
        host=HostEvents(host.start, host.end, host.thread, host.kind, host.name, host.sequence),
        device_names=_device_names(reader.header),
        rank=_rank(reader.header),
        defects=Defects(
            truncated=reader.truncated,
            damaged_events=reader.damaged,
            negative_durations=builder.counts["negative"],
            untimed_events=builder.counts["untimed"],
            missing_correlations=builder.counts["uncorrelated"],
            repaired_text=reader.repaired,
            warnings=_profiler_warnings(reader.header),
        ),
    )


def _joined(parts: list[Any], width: int) -> list[Ints]:
    """The columns of all ``parts``, which are given up: both together would double the memory."""
    if not parts:
        return [np.empty(0, dtype=np.int64)] * width
    columns = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    parts.clear()
    return columns


def _rank_of_each_name(names: tuple[str, ...]) -> Ints:
    """Alphabetical rank by code, for an order that does not depend on the order in the file."""
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return rank


def _ordered_host(host: _Host, rank: Ints) -> _Host:
    order = np.lexsort((host.correlation, rank[host.name], -host.end, host.start))
    return _Host(*(column[order] for column in host))


def _activities(device: _Device, host: _Host, rank: Ints) -> Activities:
    launch = _launch_rows(device.correlation, host)
    if len(host.start):
        launch_ns = np.where(launch >= 0, host.start[launch], NO_LAUNCH)
    else:
        launch_ns = np.full(len(launch), NO_LAUNCH)
    order = np.lexsort(
        (rank[device.name], device.stream, launch_ns, launch < 0, device.end, device.start)
    )
    columns = (
        device.device,
        device.stream,
        device.start,
        device.end,
        device.kind,
        device.name,
        launch,
        launch_ns,
        device.bytes,
    )
    return Activities(*(column[order] for column in columns))


def _launch_rows(correlation: Ints, host: _Host) -> Ints:
    """The earliest runtime call with each activity's correlation; -1 where there is none."""
    calls = np.flatnonzero((host.kind == RUNTIME) & (host.correlation >= 0))
    if not len(calls):
        return np.full(len(correlation), -1)
    calls = calls[np.argsort(host.correlation[calls], kind="stable")]
    keys = host.correlation[calls]
    at = np.minimum(np.searchsorted(keys, correlation), len(keys) - 1)
    return np.where((keys[at] == correlation) & (correlation >= 0), calls[at], -1)


def _device_names(header: Header) -> dict[int, str]:
    devices = header.deviceProperties if isinstance(header.deviceProperties, list) else []
    return {
        device["id"]: str(device["name"])
        for device in devices
        if isinstance(device, dict) and isinstance(device.get("id"), int) and device.get("name")
    }


def _rank(header: Header) -> int | None:
    info = header.distributedInfo
    rank = info.get("rank") if isinstance(info, dict) else None
    return rank if isinstance(rank, int) else None


def _profiler_warnings(header: Header) -> tuple[str, ...]:
    logs: list[Any] = []
    for section in (header.warnings, header.errors):
        logs += section if isinstance(section, list) else []
    lost = [str(line) for line in logs if re.search(_PROFILER_LOG, str(line))]
    return tuple(lost[:_MAX_WARNINGS])
