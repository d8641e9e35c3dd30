"""A stream of bytes → batches of decoded events, without ever holding the whole file.

A trace is cut where one event ends and the next begins. Such a cut cannot be told from a
look-alike inside a string or a nested object by searching alone; but a piece that was cut at the
wrong place is not valid JSON, so the decoder itself proves every cut.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal

from seqprof.traces.containers import BrokenStreamError
from seqprof.traces.events import (
    FlawError,
    Text,
    TraceEvent,
    TraceHeader,
    decode_document,
    decode_events,
    decode_header,
    repaired,
)
from seqprof.traces.writers import what_text_is

_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_LEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*")
_BOUNDARY = re.compile(rb"\}\s*,\s*\{")
_OPEN, _CLOSE, _COMMA, _OBJECT = b"[],{"
#: A document whose events have been read already, up to what follows them.
_EMPTY_DOCUMENT = b'{"traceEvents":[]'
_CUT_ATTEMPTS = 8
_CUT_CONTEXT = 256
_PROBE_BYTES = 1 << 16


class NotATraceError(Exception):
    """The file is whole as far as can be seen, but no trace; ``hint`` is what to do, if known."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.hint = hint


class DamagedError(Exception):
    """The trace is truncated or damaged at byte ``at`` of its (decompressed) text."""

    def __init__(self, what: str, at: int, truncated: bool) -> None:
        super().__init__(what)
        self.what = what
        self.at = at
        self.truncated = truncated


class EventReader:
    """Cut a stream of bytes into batches of events; count what had to be left out or repaired.

    Args:
        partial: use what is whole of a truncated or damaged file instead of raising.
    """

    def __init__(self, partial: bool = False) -> None:
        self.partial = partial
        self.header = TraceHeader()
        self.truncated = False
        self.damaged = 0
        self.repaired = False
        #: What is not decoded yet; from the first event on it begins with the list's bracket.
        self._text = bytearray()
        #: Bytes that stood before it.
        self._passed = 0
        self._searched = 0
        self._stage: Literal["start", "events", "end"] = "start"
        self._is_list = False
        self._entries = 0
        self._has_event = False

    def batches(self, chunks: Iterator[bytes]) -> Iterator[list[TraceEvent]]:
        """Yield the events of ``chunks`` in batches.

        Raises:
            NotATraceError: it is no trace.
            DamagedError: it is truncated or damaged and ``partial`` is off.
        """
        for chunk in self._until_broken(chunks):
            self._text += chunk
            if self._stage == "start":
                self._find_events()
            if self._stage == "events":
                yield self._whole_events()
        if self._stage == "start":
            known = what_text_is(bytes(self._text[:_PROBE_BYTES]))
            raise NotATraceError(*known or (self._why_no_events(),))
        yield self._last_events()
        if not self._has_event:
            what = "its list holds no events" if self._entries else "its list of events is empty"
            raise NotATraceError(what)

    def _until_broken(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except BrokenStreamError as error:
            if not self.partial:
                at = self._passed + len(self._text)
                raise DamagedError(str(error), at, error.truncated) from error
            self.truncated = True

    # Before the events --------------------------------------------------------------------------

    def _find_events(self) -> None:
        """Drop what stands before the events."""
        bracket = self._list_begins()
        if bracket is not None:
            del self._text[:bracket]
            self._passed = bracket
            self._stage = "events"

    def _list_begins(self) -> int | None:
        """Where the list of events begins, which may be all of the text; None if not yet."""
        text = self._text
        lead = _LEAD.match(text)
        begin = lead.end() if lead else 0
        if begin == len(text):
            return None
        if text[begin] == _OPEN:
            self._is_list = True
            return begin
        if text[begin] != _OBJECT:
            known = what_text_is(bytes(text[:_PROBE_BYTES]))
            raise NotATraceError(*known or ("it is neither a JSON object nor a list",))
        for match in _EVENTS_KEY.finditer(text, self._searched):
            try:
                self.header = decode_header(bytes(text[begin : match.end()]) + b"]}")
            except FlawError:
                continue  # the key's text inside a string or a nested object
            return match.end() - 1
        self._searched = max(0, len(text) - _CUT_CONTEXT)
        return None

    def _why_no_events(self) -> str:
        text = _LEAD.sub(b"", self._text, count=1)
        if self.truncated:
            return "it ends before its events begin"
        if not text:
            return "it is empty"
        try:
            decode_header(text)
        except FlawError as flaw:
            what = "ends early" if flaw.problem == "early" else f"has an error: {flaw.what}"
            return f"it has no list `traceEvents`, and its JSON {what}"
        return "it has no list `traceEvents`"

    # The events ---------------------------------------------------------------------------------

    def _whole_events(self) -> list[TraceEvent]:
        """Decode as many whole events as the text proves to hold, and drop them from it."""
        position = len(self._text)
        for _ in range(_CUT_ATTEMPTS):
            comma, position = _last_boundary(self._text, position)
            if comma < 0:
                break
            try:
                batch = self._decode_before(comma)
            except FlawError as flaw:
                if flaw.problem == "early":
                    continue  # cut at a wrong place
                if flaw.problem == "ended":
                    self._stage = "end"
                    break
                batch = self._salvage(bytes(self._text[:comma]) + b"]", flaw)
            self._text[comma] = _OPEN
            del self._text[:comma]
            self._passed += comma
            return batch
        return []

    def _decode_before(self, comma: int) -> list[TraceEvent]:
        """Decode the text up to a comma as a list, without copying it."""
        self._text[comma] = _CLOSE
        try:
            with memoryview(self._text) as whole, whole[: comma + 1] as piece:
                return self._decode(piece)
        finally:
            self._text[comma] = _COMMA

    def _decode(self, piece: Text) -> list[TraceEvent]:
        """Decode a list, if need be with what writers are known to get wrong repaired."""
        try:
            batch, left_out = decode_events(piece)
        except FlawError as flaw:
            if flaw.problem != "damaged":
                raise
            text = bytes(piece)
            try:
                batch, left_out = decode_events(repaired(text))
            except FlawError as other:
                # Repairing moves what follows, so the place is sought in the text as it was.
                ends = range(len(text) + 1)
                at = bisect_right(ends, other.at, key=lambda end: len(repaired(text[:end]))) - 1
                raise FlawError(other.problem, other.what, at) from flaw
            self.repaired = True
        self.damaged += left_out
        return self._counted(batch, left_out)

    def _counted(self, batch: list[TraceEvent], left_out: int = 0) -> list[TraceEvent]:
        self._entries += len(batch) + left_out
        self._has_event = self._has_event or any(event.ph for event in batch)
        return batch

    # After the events ---------------------------------------------------------------------------

    def _last_events(self) -> list[TraceEvent]:
        """Decode the last events and what stands after them."""
        text = bytes(self._text)
        if not self._is_list:
            document = decode_document(b'{"traceEvents":' + text)
            if document is not None:
                self.header.merge(document)
                return self._counted(document.traceEvents)
        try:
            batch, rest = self._decode_list(text)
        except FlawError as flaw:
            if self._is_list and not self.truncated and (whole := self._unclosed(text)) is not None:
                return whole
            return self._salvage(text, flaw)
        self._read_tail(rest, len(text) - len(rest))
        return batch

    def _decode_list(self, text: bytes) -> tuple[list[TraceEvent], bytes]:
        try:
            return self._decode(text), b""
        except FlawError as flaw:
            if flaw.problem != "ended":
                raise
            return self._decode(text[: flaw.at]), text[flaw.at :]

    def _unclosed(self, text: bytes) -> list[TraceEvent] | None:
        """The events of a list without its bracket, which the format allows to be left out."""
        try:
            return self._decode(text.rstrip().removesuffix(b",") + b"]")
        except FlawError:
            return None

    def _read_tail(self, rest: bytes, before: int) -> None:
        """Read what stands after the events, which are ``before`` bytes of the text."""
        if self._is_list and not rest.strip():
            return
        try:
            self.header.merge(decode_header(repaired(_EMPTY_DOCUMENT + rest)))
        except FlawError as flaw:
            at = before + max(flaw.at - len(_EMPTY_DOCUMENT), 0)
            self._note(FlawError(flaw.problem, flaw.what, at))

    # Damage -------------------------------------------------------------------------------------

    def _note(self, flaw: FlawError) -> None:
        """Count a flaw of the text, or end the reading where it is not to be read partially."""
        early = flaw.problem == "early"
        if not self.partial:
            raise DamagedError(flaw.what, self._passed + flaw.at, early) from flaw
        self.truncated |= early
        self.damaged += not early

    def _salvage(self, text: bytes, flaw: FlawError) -> list[TraceEvent]:
        """Every whole event of ``text``, a list that may lack its end; ``flaw`` is its first."""
        events: list[TraceEvent] = []
        while True:
            self._note(flaw)
            events += self._decode_up_to(flaw, text)
            if flaw.problem == "early":
                return events
            text = _next_event(text, flaw.at)
            try:
                return events + self._decode_list(text)[0]
            except FlawError as another:
                flaw = another

    def _decode_up_to(self, flaw: FlawError, text: bytes) -> list[TraceEvent]:
        """The events before ``flaw``."""
        for whole in _before(flaw, text):
            try:
                return self._decode(whole + b"]")
            except FlawError:
                continue
        return []


def _before(flaw: FlawError, text: bytes) -> Iterator[bytes]:
    """Where the events before ``flaw`` may end, the longest first."""
    if flaw.problem == "early":
        yield text.rstrip().removesuffix(b",")
    position = flaw.at
    for _ in range(_CUT_ATTEMPTS):
        comma, position = _last_boundary(text, position)
        if comma < 0:
            return
        yield text[:comma]


def _last_boundary(text: bytes | bytearray, position: int) -> tuple[int, int]:
    """The last ``}, {`` that starts before ``position``: where its comma is, and its brace."""
    while True:
        position = text.rfind(b"{", 0, position)
        if position < 0:
            return -1, -1
        before = text[max(0, position - _CUT_CONTEXT) : position]
        stripped = before.rstrip()
        if stripped.endswith(b",") and stripped[:-1].rstrip().endswith(b"}"):
            return position - len(before) + len(stripped) - 1, position


def _next_event(text: bytes, damage: int) -> bytes:
    """The list that follows the damage, from the start of an event on.

    Objects in a list look like events, so of the next few starts the one from which decoding gets
    furthest is taken.
    """
    best, furthest = len(text), -1
    starts = (match.end() - 1 for match in _BOUNDARY.finditer(text, damage))
    for start, _ in zip(starts, range(_CUT_ATTEMPTS), strict=False):
        reached = start + _decodable(b"[" + text[start : start + _PROBE_BYTES])
        if reached > furthest:
            best, furthest = start, reached
        if reached >= start + _PROBE_BYTES:
            break
    return b"[" + (text[best:] or b"]")


def _decodable(text: bytes) -> int:
    """How far ``text`` can be read as a list of events."""
    try:
        decode_events(text)
    except FlawError as flaw:
        return flaw.at
    return len(text)
