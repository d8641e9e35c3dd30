"""`--trace`: the profiler's own trace with phases, timesteps and counters as tracks of their own.

The events are those of the Trace Event format that Perfetto and chrome://tracing read: ``X`` with a
duration, ``C`` for counters, ``M`` for names; times in microseconds on the clock of the trace.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

Event = dict[str, Any]

#: Process number of our tracks; Linux gives none above 4,194,304.
PROCESS = 5_000_000
_LEVEL = 6


class Range(Struct, frozen=True):
    """A bar on a track; bars of one track do not overlap."""

    track: str
    name: str
    start_ns: int
    end_ns: int


class Counter(Struct, frozen=True):
    """A value that holds from a time on."""

    name: str
    at_ns: int
    value: float


def track_events(ranges: Iterable[Range], counters: Iterable[Counter]) -> Iterator[Event]:
    """The events of ``ranges`` and ``counters``, in the process `seqprof`."""
    yield _name("process_name", "seqprof", 0)
    threads: dict[str, int] = {}
    for bar in ranges:
        if bar.track not in threads:
            threads[bar.track] = len(threads) + 1
            yield _name("thread_name", bar.track, threads[bar.track])
        yield {
            "ph": "X",
            "cat": "seqprof",
            "name": bar.name,
            "pid": PROCESS,
            "tid": threads[bar.track],
            "ts": bar.start_ns / 1000,
            "dur": (bar.end_ns - bar.start_ns) / 1000,
        }
    for counter in counters:
        yield {
            "ph": "C",
            "cat": "seqprof",
            "name": counter.name,
            "pid": PROCESS,
            "tid": 0,
            "ts": counter.at_ns / 1000,
            "args": {"value": counter.value},
        }


def _name(kind: str, name: str, thread: int) -> Event:
    return {
        "ph": "M",
        "name": kind,
        "pid": PROCESS,
        "tid": thread,
        "ts": 0,
        "args": {"name": name},
    }


def write_with_tracks(source: Path, target: Path, events: Iterable[Event]) -> None:
    """Write the trace ``source`` with ``events`` added; gzip if the name ends in ``.gz``.

    What the profiler wrote is copied as it is.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the profiler's file is no JSON.
    """
    document = msgspec.json.decode(source.read_bytes(), type=dict[str, Raw])
    begun = bytes(document.get("traceEvents", Raw(b"[]"))).rstrip()[:-1].rstrip()
    added = msgspec.json.encode(list(events))[1:]
    joint = b"" if begun.endswith(b"[") else b",\n"
    document["traceEvents"] = Raw(begun + joint + added)
    data = msgspec.json.encode(document)
    target.write_bytes(gzip.compress(data, _LEVEL) if target.suffix == ".gz" else data)
