"""Decoded events → columns of what ran on devices and what happened on the host."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from seqprof.analysis.timeline.structure import (
    ANNOTATION,
    COPY,
    KERNEL,
    MODULE,
    NO_DEVICE,
    OPERATOR,
    RUNTIME,
    SET,
    Ints,
)
from seqprof.traces.columns import Codes, ThreadCodes, integers, nanoseconds, present
from seqprof.traces.events import Args, TraceEvent

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
_DEVICE_SUFFIXES = (("_kernel", KERNEL), ("_memcpy", COPY), ("_memset", SET))
_RUNTIME_SUFFIXES = ("_runtime", "_driver")
#: In the schema of 2021 annotations are operators; these are how torch and its users spell them.
_OLD_ANNOTATION = r"ProfilerStep#|Optimizer\.|enumerate\(DataLoader\)|## |nccl:"
_MODULE = "nn.Module: "
#: Events of an unknown category that are looked at in a batch.
_SAMPLED = 16
#: Operators that multiply rows by a matrix → which of their inputs the rows are.
_MULTIPLIED = {
    "aten::linear": 0,
    "aten::mm": 0,
    "aten::addmm": 1,
    "aten::lstm_cell": 0,
    "aten::gru_cell": 0,
    "aten::rnn_tanh_cell": 0,
    "aten::rnn_relu_cell": 0,
}
_NO_ARGS = Args()


class DeviceColumns(NamedTuple):
    pid: Ints
    device: Ints
    stream: Ints
    start: Ints
    end: Ints
    kind: Ints
    name: Ints
    correlation: Ints
    bytes: Ints
    group: Ints
    seq: Ints


class HostColumns(NamedTuple):
    start: Ints
    end: Ints
    thread: Ints
    kind: Ints
    name: Ints
    sequence: Ints
    slice_taken: Ints
    batch: Ints
    correlation: Ints


class TraceTraits:
    """What other writers leave: enough of it to say who wrote a file."""

    def __init__(self) -> None:
        self.categories: set[str] = set()
        self.processes: set[str] = set()
        self.arguments: set[str] = set()
        self.phases: Counter[str] = Counter()

    def add_other(self, event: TraceEvent) -> None:
        """An event that is no complete one."""
        self.phases[event.ph or ""] += 1
        if event.ph == "M" and event.name == "process_name" and event.args is not None:
            self.processes.add(str(event.args.name))

    def add_unknown(self, category: str | None, events: list[TraceEvent]) -> None:
        """Complete events of a category that torch.profiler does not write."""
        self.categories.add(category or "")
        for event in events[:_SAMPLED]:
            self.processes.add(str(event.pid))
            if event.args is not None:
                self.arguments |= {"Task Type"} if event.args.task_type is not None else set()
                self.arguments |= {"hlo_op"} if event.args.hlo_op is not None else set()


class EventColumns:
    """Columns of the batches seen so far."""

    def __init__(self) -> None:
        self.names = Codes()
        self.threads = ThreadCodes()
        self.pids = Codes()
        self.device: list[DeviceColumns] = []
        self.host: list[HostColumns] = []
        self.counts: Counter[str] = Counter()
        self.seen = TraceTraits()

    def spelled_pids(self) -> set[str]:
        """All processes, of devices and of threads, as the file spells them."""
        return {*self.pids, *(str(process) for process, _ in self.threads)}

    def process_of_thread(self, spelled: list[str]) -> Ints:
        """The place in ``spelled`` of the process of each thread, by the thread's code."""
        codes = np.zeros(max(self.threads.values(), default=-1) + 1, dtype=np.int64)
        for (process, _), thread in self.threads.items():
            codes[thread] = spelled.index(str(process))
        return codes

    def add(self, batch: list[TraceEvent]) -> None:
        """Sort a batch by category and append its columns."""
        by_category: defaultdict[str | None, list[TraceEvent]] = defaultdict(list)
        for event in batch:
            if event.ph == "X":
                by_category[event.cat].append(event)
            else:
                self.seen.add_other(event)
        self.counts["complete"] += sum(map(len, by_category.values()))
        for category, events in by_category.items():
            if (kind := _device_kind(category)) is not None:
                self._add_device(events, kind)
            elif (kind := _host_kind(category)) is not None:
                self._add_host(events, kind, is_old=category == "Operator")
            else:
                self.seen.add_unknown(category, events)

    def _times(self, events: list[TraceEvent]) -> tuple[list[TraceEvent], Ints, Ints]:
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

    def _add_device(self, events: list[TraceEvent], kind: int) -> None:
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
            DeviceColumns(
                self.pids.of([str(event.pid) for event in events]),
                device,
                stream,
                start,
                end,
                np.full(len(events), kind),
                self.names.of([event.name or "" for event in events]),
                correlation,
                integers([each.bytes for each in args], 0),
                self.names.of(["" if each.group is None else str(each.group) for each in args]),
                integers([each.seq for each in args], -1),
            )
        )

    def _add_host(self, events: list[TraceEvent], kind: int, is_old: bool) -> None:
        if kind == MODULE:
            self.counts["calls of Python"] += len(events)
            events = [e for e in events if e.name is not None and e.name.startswith(_MODULE)]
        events, start, end = self._times(events)
        count = len(events)
        names = [event.name or "" for event in events]
        kinds = np.full(count, kind)
        if is_old:
            kinds[[bool(re.match(_OLD_ANNOTATION, name)) for name in names]] = ANNOTATION
        nothing = np.full(count, -1)
        sequence = taken = batch = correlation = nothing
        if kind == OPERATOR:
            sequence = integers([(e.args or _NO_ARGS).sequence for e in events], -1)
            taken = np.array([_slice_taken(event) for event in events], dtype=np.int64)
            batch = np.array([_rows_multiplied(event) for event in events], dtype=np.int64)
        elif kind == RUNTIME:
            correlation = integers([(e.args or _NO_ARGS).correlation for e in events], -1)
        thread = self.threads.of([(event.pid, event.tid) for event in events])
        self.host.append(
            HostColumns(
                start,
                end,
                thread,
                kinds,
                self.names.of(names),
                sequence,
                taken,
                batch,
                correlation,
            )
        )


def _slice_taken(event: TraceEvent) -> int:
    """The index that ``aten::select(input, dim, index)`` was called with; -1 if not recorded."""
    if event.name != "aten::select" or event.args is None or not event.args.inputs:
        return -1
    try:
        return max(int(event.args.inputs[2]), -1)
    except (LookupError, TypeError, ValueError):
        return -1


def _rows_multiplied(event: TraceEvent) -> int:
    """How many rows a multiplication by a matrix took; -1 if not recorded or not a matrix."""
    if event.args is None or not event.args.dims or event.name not in _MULTIPLIED:
        return -1
    try:
        rows, _ = event.args.dims[_MULTIPLIED[event.name]]
        return max(int(rows), -1)
    except (LookupError, TypeError, ValueError):
        return -1


def _device_kind(category: str | None) -> int | None:
    if category is None:
        return None
    kind = _DEVICE.get(category)
    if kind is None:
        # Other accelerators register their own, as in privateuse1_kernel.
        kind = next((kind for end, kind in _DEVICE_SUFFIXES if category.endswith(end)), None)
    return kind


def _host_kind(category: str | None) -> int | None:
    if category is None:
        return None
    kind = _HOST.get(category)
    return RUNTIME if kind is None and category.endswith(_RUNTIME_SUFFIXES) else kind
