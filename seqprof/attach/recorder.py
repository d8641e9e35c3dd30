"""Where the agent writes: events into a mapped file, everything else into lines of JSON.

A mapped file needs no flushing: what was stored is in the file even if the process dies of a
segmentation fault in the next instruction. Between two hooks a script's step empties the caches,
and every Python call counts there: most spans are stored whole, when they end.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable
from itertools import count
from threading import get_ident
from time import perf_counter_ns, process_time_ns
from typing import Any, Protocol

from seqprof.analysis.loop.kinds import SPAN, WORDS

#: Events that one file has room for; the file is sparse, so room costs nothing.
CAPACITY = 1 << 20
_THREAD_SHIFT = 16
_WORD = 8


Span = Callable[[int, int], None]


class Store(Protocol):
    def __call__(self, code: int, now: int | None = None) -> None: ...


class ReadCpu(Protocol):
    def __call__(self, wanted: bool, also: Callable[[int], None] | None = None) -> None: ...


class Recorder:
    """The files of one process: ``NAME.events``, ``.facts``, ``.marks`` and, of an accelerator's
    clock, ``.device`` and ``.device_marks``.

    Args:
        full: called once when there is no room for another event.

    Attributes:
        span: store all of what has ended, with the time that the hook read first of all; that of
            its end is read last. What a hook does lies inside of what it stamps, as for a clock of
            the script's own around the call.
        enter: store that something begins, with that time; ``leave``: that something has ended.
        read_cpu: store CPU time with the events of ``enter`` and ``leave`` from now on, or no
            longer; about 1 µs each. With it goes a function that is called with the place of the
            event: an accelerator's clock.
    """

    def __init__(self, folder: str, name: str, full: Callable[[], None]) -> None:
        self._base = os.path.join(folder, name)
        view = _mapped(self._base + ".events", CAPACITY * WORDS * _WORD)
        self.span, store, self.read_cpu = _stamps(view, full)
        self.enter, self.leave = store, store
        self._files: dict[str, int] = {}

    def fact(self, name: str, /, **values: Any) -> None:
        """Append one line ``{"fact": name, …}``."""
        line = json.dumps({"fact": name, **values}, default=str) + "\n"
        os.write(self._file(".facts"), line.encode())

    def marks(self, block: bytes) -> None:
        """Append a block of timestep marks."""
        os.write(self._file(".marks"), block)

    def device_times(self, pairs: bytes) -> None:
        """Append the device times of some events."""
        os.write(self._file(".device"), pairs)

    def device_marks(self, pairs: bytes) -> None:
        """Append the device times of some timestep marks."""
        os.write(self._file(".device_marks"), pairs)

    def path(self, ending: str) -> str:
        """Of another file of this process."""
        return self._base + ending

    def _file(self, ending: str) -> int:
        if ending not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._files[ending] = os.open(self.path(ending), flags, 0o644)
        return self._files[ending]


def _mapped(path: str, size: int) -> memoryview:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.ftruncate(file, size)
        return memoryview(mmap.mmap(file, size)).cast("q")
    finally:
        os.close(file)


def _stamps(view: memoryview, full: Callable[[], None]) -> tuple[Span, Store, ReadCpu]:
    """Return the functions on the hot path, as closures: attribute look-ups would double it.

    Plain stores take half of what one ``struct.pack`` and a write do: their code is in the caches.
    """
    take = count(0, WORDS).__next__
    home = get_ident()
    numbers = _Threads(home)
    cpu = False
    beside: Callable[[int], None] | None = None

    def span(code: int, now: int) -> None:
        if get_ident() != home:
            code |= numbers[get_ident()]
        i = take()
        try:
            view[i + 1] = code | SPAN
        except IndexError:
            full()
            return
        view[i + 2] = perf_counter_ns()
        view[i] = now

    def store(code: int, now: int | None = None) -> None:
        if get_ident() != home:
            code |= numbers[get_ident()]
        i = take()
        try:
            view[i + 1] = code
        except IndexError:
            full()
            return
        if cpu:
            view[i + 2] = process_time_ns()
            if beside is not None:
                beside(i)
        view[i] = now or perf_counter_ns()

    def read_cpu(wanted: bool, also: Callable[[int], None] | None = None) -> None:
        nonlocal cpu, beside
        cpu, beside = wanted, also

    return span, store, read_cpu


class _Threads(dict[int, int]):
    """Numbers of threads, in their place in a code; that of ``home`` is 0."""

    def __init__(self, home: int) -> None:
        super().__init__({home: 0})
        self.home = home

    def __missing__(self, ident: int) -> int:
        self[ident] = number = min(len(self), 255) << _THREAD_SHIFT
        return number
