"""JSON text of a list of events → decoded events, or what is wrong with the text and where."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec

Text: TypeAlias = bytes | memoryview


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


class Header(msgspec.Struct):
    """What stands beside the events."""

    deviceProperties: Any = None  # noqa: N815 -- the file's own spelling
    distributedInfo: Any = None  # noqa: N815
    warnings: Any = msgspec.field(name="WARNING", default=None)
    errors: Any = msgspec.field(name="ERROR", default=None)

    def merge(self, other: Header) -> None:
        """Take from ``other`` what is missing here."""
        for name in Header.__struct_fields__:
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))


class Document(Header):
    """A whole trace file, or the end of one."""

    traceEvents: list[Event] = msgspec.field(default_factory=list)  # noqa: N815


class FlawError(Exception):
    """Why a text is no list of events, and at which byte of it.

    ``problem``: the text ends before the list does, the list before the text, or it is no JSON.
    """

    def __init__(self, problem: Literal["early", "ended", "damaged"], what: str, at: int) -> None:
        super().__init__(what)
        self.problem = problem
        self.what = what
        self.at = at


ENDS_EARLY = "it ends in the middle of its events"
_ERROR_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)")
#: Above this many microseconds a float's spacing exceeds a nanosecond (2**43 · 2**-53 ≈ 1 ns).
_EXACT_FLOAT_US = 2.0**43

_decode_batch = msgspec.json.Decoder(list[Event]).decode


@contextmanager
def _flaws_of(text: Text) -> Iterator[None]:
    """Turn what the decoder raises into a :class:`FlawError` of ``text``."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FlawError("damaged", "a string is not valid UTF-8", 0) from error
    except RecursionError as error:
        raise FlawError("damaged", "it is nested too deeply", 0) from error
    except msgspec.DecodeError as error:
        found = _ERROR_BYTE.search(str(error))
        if found is None:
            raise FlawError("early", ENDS_EARLY, len(text)) from error
        what, at = found.group(1), int(found.group(2))
        if what == "trailing characters":
            # The decoder has already taken the first character behind the list.
            raise FlawError("ended", "more follows than its events", at - 1) from error
        raise FlawError("damaged", what, at) from error


def decode_events(text: Text) -> tuple[list[Event], int]:
    """Decode a list of events; those whose fields have impossible types are left out and counted.

    Raises:
        FlawError: the text is no list of events.
    """
    with _flaws_of(text):
        try:
            batch = _decode_batch(text)
            return (list(_exact_decoder()(text)) if _need_decimals(batch) else batch), 0
        except msgspec.ValidationError:
            return _decode_leniently(text)


def decode_document(text: Text) -> Document | None:
    """Decode a whole file; None where its events need the care of :func:`decode_events`."""
    try:
        document = msgspec.json.decode(text, type=Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if _need_decimals(document.traceEvents) else document


def decode_header(text: Text) -> Header:
    """Decode what stands beside the events in a whole file.

    Raises:
        FlawError: the text is no JSON object.
    """
    with _flaws_of(text):
        return msgspec.json.decode(text, type=Header)


@cache
def _exact_decoder() -> Callable[[Text], Sequence[Event]]:
    """Decode times as decimals, for clocks that a float cannot hold to the nanosecond."""

    class ExactEvent(Event, gc=False):
        ts: Decimal | None = None  # type: ignore[assignment]
        dur: Decimal | None = None  # type: ignore[assignment]

    return msgspec.json.Decoder(list[ExactEvent]).decode


def _decode_leniently(text: Text) -> tuple[list[Event], int]:
    raws = msgspec.json.decode(bytes(text), type=list[msgspec.Raw])
    batch: list[Event] = []
    for raw in raws:
        try:
            event = msgspec.json.decode(raw, type=Event)
            one = b"[" + bytes(raw) + b"]"
            batch += _exact_decoder()(one) if _need_decimals([event]) else [event]
        except msgspec.ValidationError:
            continue
    return batch, len(raws) - len(batch)


def _need_decimals(batch: list[Event]) -> bool:
    """Whether a float cannot hold the times of ``batch`` to the nanosecond."""
    times = [event.ts for event in batch]
    kinds = set(map(type, times))
    if float not in kinds:
        return False
    numbers = times if kinds <= {float, int} else [t for t in times if type(t) is float]
    return max(numbers) >= _EXACT_FLOAT_US  # type: ignore[type-var, operator]


# Text that writers are known to get wrong -------------------------------------------------------

_NONFINITE = rb"(:\s*)-?(?:nan|inf(?:inity)?)(?=\s*[,}\]])"
_BAD_ESCAPE = rb'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\'


def repaired(text: bytes) -> bytes:
    """``text`` without nan and inf, lone backslashes and bad UTF-8."""
    text = re.sub(_NONFINITE, rb"\1null", text, flags=re.IGNORECASE)
    text = re.sub(_BAD_ESCAPE, lambda match: match.group(1) or rb"\\", text)
    return text.decode("utf-8", errors="replace").encode()
