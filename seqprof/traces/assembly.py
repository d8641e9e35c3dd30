"""Columns of events → a ``Timeline``: launches matched, rows in order, each process by itself."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import (
    NO_LAUNCH,
    OPERATOR,
    RUNTIME,
    Activities,
    Defects,
    HostEvents,
    Ints,
    Timeline,
)
from seqprof.traces.event_columns import DeviceColumns, EventColumns, HostColumns
from seqprof.traces.events import TraceHeader
from seqprof.traces.processes import LaunchCalls, processes_of
from seqprof.traces.reader import EventReader

_PROFILER_LOG = r"(?i)drop|lost|out of (?:memory|buffer)|overflow"
_MAX_WARNINGS = 5


def timeline_of(source: str, columns: EventColumns, reader: EventReader) -> Timeline:
    names = tuple(columns.names)
    rank = _rank_of_each_name(names)
    host = _ordered_host(HostColumns(*_joined(columns.host, len(HostColumns._fields))), rank)
    device = DeviceColumns(*_joined(columns.device, len(DeviceColumns._fields)))
    whole = Timeline(
        source=source,
        events=columns.counts["complete"],
        names=names,
        activities=Activities.none(),
        host=HostEvents.none(),
        device_names=_device_names(reader.header),
        rank=_rank(reader.header),
        first_alike=_first_alike(names),
        has_stacks=columns.counts["calls of Python"] > 0,
        defects=Defects(
            truncated=reader.truncated,
            damaged_events=reader.damaged,
            negative_durations=columns.counts["negative"],
            untimed_events=columns.counts["untimed"],
            missing_correlations=columns.counts["uncorrelated"],
            repaired_text=reader.repaired,
            warnings=_profiler_warnings(reader.header),
        ),
    )
    parts = _by_process(columns, host, device)
    if len(parts) == 1:
        _, its_host, its_device = parts[0]
        return _filled(whole, its_host, its_device, rank)
    return msgspec.structs.replace(
        whole,
        parts=tuple(
            _filled(msgspec.structs.replace(whole, process=process), its_host, its_device, rank)
            for process, its_host, its_device in parts
        ),
    )


def _filled(timeline: Timeline, host: HostColumns, device: DeviceColumns, rank: Ints) -> Timeline:
    return msgspec.structs.replace(
        timeline,
        activities=_activities(device, host, rank),
        host=HostEvents(
            host.start,
            host.end,
            host.thread,
            host.kind,
            host.name,
            host.sequence,
            host.slice_taken,
            host.batch,
        ),
    )


def _by_process(
    columns: EventColumns, host: HostColumns, device: DeviceColumns
) -> list[tuple[str, HostColumns, DeviceColumns]]:
    """The columns of each process of the file that launched something, or ran operators.

    One part stands for a file of one process, whatever its events are called.
    """
    spelled = sorted(columns.spelled_pids(), key=_natural)
    of_thread = columns.process_of_thread(spelled)
    process = of_thread[host.thread] if len(of_thread) else host.thread
    launching = (host.kind == RUNTIME) & (host.correlation >= 0)
    active = distinct(process[launching if len(device.start) else host.kind == OPERATOR])
    if len(active) < 2:
        return [("", host, device)]
    calls = {
        int(one): LaunchCalls.of(host.correlation[mine], host.start[mine])
        for one in active
        if (mine := launching & (process == one)).any() or not len(device.start)
    }
    ordered = np.array([spelled.index(pid) for pid in columns.pids], dtype=np.int64)
    owner = processes_of(
        ordered[device.pid], device.device, device.start, device.correlation, calls, spelled
    )
    parts = [
        (
            spelled[one],
            HostColumns(*(column[process == one] for column in host)),
            DeviceColumns(*(column[owner == one] for column in device)),
        )
        for one in active.tolist()
    ]
    if len(device.start):
        parts = [part for part in parts if len(part[2].start)]
    return parts


def _natural(name: str) -> list[tuple[str, int]]:
    """An order in which 2 comes before 10, the same whatever the order in the file."""
    parts = [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]
    return [*parts, (name, 0)]


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


def _first_alike(names: tuple[str, ...]) -> Ints:
    """Of each name the first that differs in the number behind its last # only."""
    first: dict[str, int] = {}
    alike = np.arange(len(names))
    for code, name in enumerate(names):
        stem = name.rstrip("0123456789")
        if stem.endswith("#"):
            alike[code] = first.setdefault(stem, code)
    return alike


def _ordered_host(host: HostColumns, rank: Ints) -> HostColumns:
    order = np.lexsort((host.correlation, rank[host.name], -host.end, host.start))
    return HostColumns(*(column[order] for column in host))


def _activities(device: DeviceColumns, host: HostColumns, rank: Ints) -> Activities:
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
        device.group,
        device.seq,
    )
    return Activities(*(column[order] for column in columns))


def _launch_rows(correlation: Ints, host: HostColumns) -> Ints:
    """The earliest runtime call with each activity's correlation; -1 where there is none."""
    calls = np.flatnonzero((host.kind == RUNTIME) & (host.correlation >= 0))
    if not len(calls):
        return np.full(len(correlation), -1)
    calls = calls[np.argsort(host.correlation[calls], kind="stable")]
    keys = host.correlation[calls]
    at = np.minimum(np.searchsorted(keys, correlation), len(keys) - 1)
    return np.where((keys[at] == correlation) & (correlation >= 0), calls[at], -1)


def _device_names(header: TraceHeader) -> dict[int, str]:
    devices = header.deviceProperties if isinstance(header.deviceProperties, list) else []
    return {
        device["id"]: str(device["name"])
        for device in devices
        if isinstance(device, dict) and isinstance(device.get("id"), int) and device.get("name")
    }


def _rank(header: TraceHeader) -> int | None:
    info = header.distributedInfo
    rank = info.get("rank") if isinstance(info, dict) else None
    return rank if isinstance(rank, int) else None


def _profiler_warnings(header: TraceHeader) -> tuple[str, ...]:
    logs: list[Any] = []
    for section in (header.warnings, header.errors):
        logs += section if isinstance(section, list) else []
    lost = [str(line) for line in logs if re.search(_PROFILER_LOG, str(line))]
    return tuple(lost[:_MAX_WARNINGS])
