"""JSON text of a trace → batches of decoded events, without ever holding the whole file.

A trace is cut where one event ends and the next begins. Such a cut cannot be told from a
look-alike inside a string or a nested object by searching alone; but a piece that was cut at the
wrong place is not valid JSON, so the decoder itself proves every cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from seqprof.errors import SeqprofError
from seqprof.traces.source import BrokenStreamError

_EVENTS_KEY = re.compile(rb'"traceEvents"\s*:\s*\[')
_BOUNDARY = re.compile(rb"\}\s*,\s*\{")
_ERROR_BYTE = re.compile(r"\(byte (\d+)\)")
_NONFINITE = re.compile(rb"(:\s*)-?(?:nan|inf(?:inity)?)(?=\s*[,}\]])", re.IGNORECASE)
_BAD_ESCAPE = re.compile(rb'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\')
_CUT_ATTEMPTS = 8
_CUT_CONTEXT = 256
_PROBE_BYTES = 1 << 16


class Args(msgspec.Struct, gc=False):
    """The arguments of an event that the analysis uses; the rest is skipped undecoded."""

    device: Any = -1
    stream: Any = -1
    correlation: Any = -1
    bytes: Any = 0
    sequence: Any = msgspec.field(name="Sequence number", default=-1)


class Event(msgspec.Struct, gc=False):
    """One event of the Trace Event Format, times in microseconds."""

    ph: str | None = None
    cat: str | None = None
    name: str | None = None
    pid: int | float | str | None = None
    tid: int | float | str | None = None
    ts: int | float | str | None = None
    dur: int | float | str | None = None
    args: Args | None = None


class ExactEvent(Event, gc=False):
    """The same with times as decimals, for clocks that a float cannot hold to the nanosecond."""

    ts: Decimal | None = None  # type: ignore[assignment]
    dur: Decimal | None = None  # type: ignore[assignment]


class Header(msgspec.Struct):
    """What stands beside the events."""

    deviceProperties: Any = None  # noqa: N815 -- the file's own spelling
    distributedInfo: Any = None  # noqa: N815
    warnings: Any = msgspec.field(name="WARNING", default=None)
    errors: Any = msgspec.field(name="ERROR", default=None)


class _Document(Header):
    traceEvents: list[Event] = msgspec.field(default_factory=list)  # noqa: N815


_decode_batch = msgspec.json.Decoder(list[Event]).decode
_decode_exact = msgspec.json.Decoder(list[ExactEvent]).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_header = msgspec.json.Decoder(Header).decode
_decode_document = msgspec.json.Decoder(_Document).decode

#: Above this many microseconds a float's spacing exceeds a nanosecond (2**43 · 2**-53 ≈ 1 ns).
_EXACT_FLOAT_US = 2.0**43
_JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError)


@dataclass(slots=True)
class EventReader:
    """Cut a stream of bytes into batches of events; count what had to be left out or repaired.

    Args:
        source: the file's name, for messages.
        partial: use what is whole of a truncated or damaged file instead of raising.
    """

    source: str
    partial: bool = False
    header: Header = field(default_factory=Header)
    truncated: bool = False
    damaged: int = 0
    repaired: int = 0
    _is_array: bool = False

    def batches(self, chunks: Iterator[bytes]) -> Iterator[list[Event]]:
        """Yield the events of ``chunks`` in batches.

        Raises:
            SeqprofError: it is no trace, or it is truncated or damaged and ``partial`` is off.
        """
        rest, started, waiting = b"", False, False
        for chunk in self._until_broken(chunks):
            rest += chunk
            if not started:
                started, rest = self._find_events(rest)
            # `waiting`: no cut can be proved any more (end of the list, or damage): read it all.
            while started and not waiting and len(rest) >= len(chunk):
                batch, rest, waiting = self._cut(rest)
                if not batch:
                    break
                yield batch
        if not started:
            raise self._not_a_trace(rest)
        yield self._finish(rest)

    def _until_broken(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except BrokenStreamError as error:
            if not self.partial:
                raise self._broken(str(error)) from error
            self.truncated = True

    def _find_events(self, text: bytes) -> tuple[bool, bytes]:
        """Drop what stands before the first event; the events may be a bare list as well."""
        text = text.removeprefix(b"\xef\xbb\xbf")
        stripped = text.lstrip()
        if stripped.startswith(b"["):
            self._is_array = True
            return True, stripped[1:]
        for match in _EVENTS_KEY.finditer(text):
            try:
                self.header = _decode_header(text[: match.end()] + b"]}")
            except _JSON_ERRORS:
                continue  # the key's text inside a string or a nested object
            return True, text[match.end() :]
        return False, text

    def _cut(self, text: bytes) -> tuple[list[Event], bytes, bool]:
        """Decode as many whole events as ``text`` proves to hold: (events, rest, stop cutting)."""
        position = len(text)
        for _ in range(_CUT_ATTEMPTS):
            comma, position = _last_boundary(text, position)
            if comma < 0:
                return [], text, False
            piece = b"[" + text[:comma] + b"]"
            try:
                return self._decode(piece), text[comma + 1 :], False
            except UnicodeDecodeError:
                pass
            except msgspec.DecodeError as error:
                if not _is_damage(error, len(piece)):
                    continue
            batch = self._repair(piece)
            return (batch or [], text[comma + 1 :] if batch else text, not batch)
        return [], text, False

    def _decode(self, piece: bytes) -> list[Event]:
        try:
            batch = _decode_batch(piece)
        except msgspec.ValidationError:
            return self._decode_leniently(piece)
        if _needs_decimals(batch):
            try:
                return list(_decode_exact(piece))
            except msgspec.ValidationError:
                return self._decode_leniently(piece)
        return batch

    def _decode_leniently(self, piece: bytes) -> list[Event]:
        """Decode event by event; one whose fields have impossible types is left out and counted."""
        batch = []
        for raw in _decode_raw(piece):
            try:
                batch.append(_exactly(raw))
            except msgspec.ValidationError:
                self.damaged += 1
        return batch

    def _repair(self, piece: bytes) -> list[Event] | None:
        """Undo what writers are known to get wrong: nan and inf, lone backslashes, bad UTF-8."""
        repaired = _NONFINITE.sub(rb"\1null", piece)
        repaired = _BAD_ESCAPE.sub(lambda match: match.group(1) or rb"\\", repaired)
        repaired = repaired.decode("utf-8", errors="replace").encode()
        try:
            batch = self._decode(repaired)
        except _JSON_ERRORS:
            return None
        self.repaired += 1
        return batch

    def _finish(self, rest: bytes) -> list[Event]:
        """Decode the last events and what stands after them."""
        text = b"[" + rest if self._is_array else b'{"traceEvents":[' + rest
        for candidate in (text, _repaired_text(text)):
            try:
                batch = self._decode_end(candidate)
            except _JSON_ERRORS as error:
                failure = error
                continue
            self.repaired += candidate is not text
            return batch
        if not self.partial:
            raise self._broken(_describe(failure, rest)) from failure
        if _ends_early(failure):
            self.truncated = True
        return self._salvage(rest)

    def _decode_end(self, text: bytes) -> list[Event]:
        if self._is_array:
            return self._decode(text)
        try:
            document = _decode_document(text)
        except msgspec.ValidationError:
            raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            self._merge(_decode_header(text))
            return self._decode_leniently(bytes(raw["traceEvents"]))
        self._merge(document)
        if _needs_decimals(document.traceEvents):
            raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            return self._decode(bytes(raw["traceEvents"]))
        return document.traceEvents

    def _merge(self, tail: Header) -> None:
        for name in Header.__struct_fields__:
            if getattr(self.header, name) is None:
                setattr(self.header, name, getattr(tail, name))

    def _salvage(self, text: bytes) -> list[Event]:
        """Every whole event of ``text``; damaged ones are counted."""
        batch: list[Event] = []
        rest = _repaired_text(text)
        while rest.strip():
            whole, rest, damaged = self._up_to_damage(rest)
            batch += whole
            self.damaged += damaged
        return batch

    def _up_to_damage(self, text: bytes) -> tuple[list[Event], bytes, bool]:
        """Events before the first damage, what follows it, and whether there was any."""
        piece = b"[" + text + b"]"
        try:
            return self._decode(piece), b"", False
        except msgspec.DecodeError as error:
            at, is_end = _error_place(error, len(piece))
        if is_end:
            # The decoder has already taken the first character behind the list.
            return self._decode(piece[: at - 1]), b"", False
        batch, position = [], at
        for _ in range(_CUT_ATTEMPTS):
            comma, position = _last_boundary(piece, position)
            if comma < 0:
                break
            try:
                batch = self._decode(piece[:comma] + b"]")
                break
            except msgspec.DecodeError:
                continue
        return batch, _next_event(piece, at), True

    def _broken(self, what: str) -> SeqprofError:
        return SeqprofError(
            f"{self.source} is truncated or damaged: {what}",
            "--partial analyses the events that are whole",
        )

    def _not_a_trace(self, text: bytes) -> SeqprofError:
        if self.truncated or text.lstrip().startswith(b"{"):
            what = "it has no list `traceEvents`"
        else:
            what = "it is not JSON" if text.strip() else "it is empty"
        return SeqprofError(
            f"{self.source} is not a trace: {what}",
            "give a file written by torch.profiler's export_chrome_trace (.json or .json.gz)",
        )


def _last_boundary(text: bytes, position: int) -> tuple[int, int]:
    """The last ``}, {`` that starts before ``position``: where its comma is, and its brace."""
    while True:
        position = text.rfind(b"{", 0, position)
        if position < 0:
            return -1, -1
        before = text[max(0, position - _CUT_CONTEXT) : position]
        stripped = before.rstrip()
        if stripped.endswith(b",") and stripped[:-1].rstrip().endswith(b"}"):
            return position - len(before) + len(stripped) - 1, position


def _is_damage(error: msgspec.DecodeError, size: int) -> bool:
    """Whether ``error`` lies inside the text and not at its end, as that of a wrong cut does."""
    at = _ERROR_BYTE.search(str(error))
    return at is not None and int(at.group(1)) < size - 2


def _ends_early(error: Exception) -> bool:
    return "truncated" in str(error)


def _describe(error: Exception, rest: bytes) -> str:
    if _ends_early(error):
        return "it ends in the middle"
    return f"{error}" if rest else "it has no end"


def _repaired_text(text: bytes) -> bytes:
    text = _NONFINITE.sub(rb"\1null", text)
    text = _BAD_ESCAPE.sub(lambda match: match.group(1) or rb"\\", text)
    return text.decode("utf-8", errors="replace").encode()


def _needs_decimals(batch: list[Event]) -> bool:
    times = [event.ts for event in batch]
    if float not in set(map(type, times)):
        return False
    return any(type(time) is float and time >= _EXACT_FLOAT_US for time in times)


def _exactly(raw: msgspec.Raw) -> Event:
    event = _decode_event(raw)
    return msgspec.json.decode(raw, type=ExactEvent) if _needs_decimals([event]) else event


def _error_place(error: msgspec.DecodeError, size: int) -> tuple[int, bool]:
    """Where the text stops being a list of events, and whether because the list has ended."""
    at = _ERROR_BYTE.search(str(error))
    return (int(at.group(1)) if at else size, "trailing characters" in str(error))


def _next_event(piece: bytes, damage: int) -> bytes:
    """What follows the damage, from the start of an event on.

    Objects in a list look like events, so of the next few starts the one from which decoding gets
    furthest is taken.
    """
    best, furthest = len(piece), -1
    starts = (match.end() - 1 for match in _BOUNDARY.finditer(piece, damage))
    for start, _ in zip(starts, range(_CUT_ATTEMPTS), strict=False):
        try:
            _decode_batch(b"[" + piece[start : start + _PROBE_BYTES])
        except msgspec.ValidationError:
            reached = _PROBE_BYTES
        except msgspec.DecodeError as error:
            reached = start + _error_place(error, _PROBE_BYTES)[0]
        if reached > furthest:
            best, furthest = start, reached
        if reached >= start + _PROBE_BYTES:
            break
    return piece[best:-1]
