"""The event log of one process, read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from seqprof.analysis.loop.kinds import SPAN, WORDS, Flag, Kind, is_pair, unpack

_NO_TIMES: Mapping[int, int] = MappingProxyType({})


class LoopEvent(NamedTuple):
    """One event. ``cpu_ns`` is 0 where the CPU's clock was not read, ``device_ns`` None where no
    accelerator's was; it counts from the first event of its step."""

    at_ns: int
    cpu_ns: int
    kind: int
    flags: int = 0
    thread: int = 0
    key: int = 0
    device_ns: int | None = None

    @property
    def instant(self) -> Instant:
        """When it happened, on all clocks that were read."""
        return Instant(self.at_ns, self.cpu_ns, self.device_ns)


def decode(data: bytes, device: bytes = b"") -> list[LoopEvent]:
    """Read what :mod:`seqprof.attach.recorder` stored; a file cut short gives what it holds.

    Args:
        device: pairs of words, the place of an event in words and its device time.
    """
    return sorted(read_events(data, read_pairs(device)), key=attrgetter("at_ns"))


def read_pairs(data: bytes) -> dict[int, int]:
    """Read pairs of words: what an accelerator's clock was read for, and its time."""
    words = array("q")
    words.frombytes(data[: len(data) // 16 * 16])
    return dict(zip(words[::2], words[1::2], strict=True))


def read_events(data: bytes, device_ns: Mapping[int, int] = _NO_TIMES) -> Iterator[LoopEvent]:
    """Yield the events of whole records in the order in which they were stored.

    A span that was stored when it had ended comes after those inside of it.
    """
    words = array("q")
    words.frombytes(data[: len(data) // words.itemsize * words.itemsize])
    for i in range(0, len(words) - WORDS + 1, WORDS):
        at, code, third = words[i : i + WORDS]
        if not at:
            if not code:  # the end of what was written
                return
            continue  # the process died between two stores
        kind, flags, thread, key = unpack(code)
        if kind & SPAN:
            yield LoopEvent(at, 0, kind ^ SPAN, flags, thread, key)
            yield LoopEvent(third, 0, (kind ^ SPAN) + 1, 0, thread, key)
        else:
            yield LoopEvent(at, third, kind, flags, thread, key, device_ns.get(i))


class Instant(NamedTuple):
    """An instant: host clock, CPU time of the process and device clock, in ns."""

    at_ns: int
    cpu_ns: int
    device_ns: int | None = None


class LoopSpan:
    """What lies between an ``IN`` event and its ``OUT``, on one thread.

    Attributes:
        kind: of the ``IN`` event.
        end: None where the log ends before it.
        given, left: flags of the two events.
        children: spans that lie inside.
    """

    __slots__ = ("children", "end", "given", "key", "kind", "left", "start", "thread")

    def __init__(self, event: LoopEvent) -> None:
        self.kind = Kind(event.kind)
        self.start = event.instant
        self.end: Instant | None = None
        self.given = event.flags
        self.left = 0
        self.key = event.key
        self.thread = event.thread
        self.children: list[LoopSpan] = []

    def close(self, event: LoopEvent) -> None:
        """The ``OUT`` event."""
        self.end = event.instant
        self.left = event.flags

    def holds(self, kind: Kind) -> bool:
        """Whether a span of ``kind`` lies inside, at any depth."""
        return any(child.kind == kind or child.holds(kind) for child in self.children)

    def walk(self) -> Iterator[LoopSpan]:
        """This span and all inside it, in order of their beginnings."""
        yield self
        for child in self.children:
            yield from child.walk()


#: What prepares a span of the other kind: entering autocast, scaling the loss.
_PREPARES = {Kind.AUTOCAST_IN: Kind.FORWARD_IN, Kind.SCALE_IN: Kind.BACKWARD_IN}


def _with_preparations(siblings: list[LoopSpan]) -> list[LoopSpan]:
    """Let a forward begin where autocast is entered for it, a backward where its loss is scaled.

    What is followed by something else belongs to nothing, and is left out.
    """
    spans: list[LoopSpan] = []
    waiting: list[LoopSpan] = []
    for span in siblings:
        span.children = _with_preparations(span.children)
        if span.kind in _PREPARES:
            waiting.append(span)
            continue
        while waiting and _PREPARES[waiting[-1].kind] == span.kind:
            span.start = waiting.pop().start
        waiting.clear()
        spans.append(span)
    return spans


def spans(events: list[LoopEvent], thread: int) -> list[LoopSpan]:
    """Nest the pairs of one thread; returns the outermost spans, in order.

    An ``OUT`` without its ``IN`` is left out. A span that was never closed ends with the one around
    it; torch tells no end of an optimizer's step that an exception left (see :func:`_unwind`).
    """
    roots: list[LoopSpan] = []
    stack: list[LoopSpan] = []
    for event in events:
        if event.thread != thread or not is_pair(event.kind):
            continue
        if event.kind % 2 == 0:
            _unwind(stack, event)
            span = LoopSpan(event)
            (stack[-1].children if stack else roots).append(span)
            stack.append(span)
        else:
            _close(stack, event)
    return _with_preparations(roots)


def _unwind(stack: list[LoopSpan], event: LoopEvent) -> None:
    """End the optimizer's steps that an exception must have left before ``event``.

    It passed through the last span inside, or the same optimizer begins another step.
    """
    while stack and stack[-1].kind in (Kind.OPTIMIZER_IN, Kind.SCALER_IN):
        top = stack[-1]
        failed = bool(top.children) and bool(top.children[-1].left & Flag.FAILED)
        again = event.kind == top.kind == Kind.OPTIMIZER_IN and event.key == top.key
        if not (failed or again):
            return
        last = top.children[-1].end if top.children else None
        top.end, top.left = last or event.instant, int(Flag.FAILED)
        stack.pop()


def _close(stack: list[LoopSpan], event: LoopEvent) -> None:
    if all(span.kind + 1 != event.kind for span in stack):
        return
    while stack:
        span = stack.pop()
        span.close(event)
        if span.kind + 1 == event.kind:
            return


def driving_thread(events: list[LoopEvent]) -> int:
    """The thread that drives the loop: that of most backwards, else of most forwards."""
    for kind in (Kind.BACKWARD_IN, Kind.OPTIMIZER_IN, Kind.FORWARD_IN, Kind.FETCH_IN):
        threads = [event.thread for event in events if event.kind == kind]
        if threads:
            return max(set(threads), key=threads.count)
    return 0
