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
    #: Of collectives: which group of ranks, and the how manieth of it.
    group: Any = msgspec.field(name="Process Group Name", default=None)
    seq: Any = msgspec.field(name="Seq", default=-1)
    #: Of metadata events: the name of a process or a thread, and what it is.
    name: Any = None
    labels: Any = None
    #: What only other writers leave.
    task_type: Any = msgspec.field(name="Task Type", default=None)
    hlo_op: Any = None
    sequence: Any = msgspec.field(name="Sequence number", default=-1)
    dims: Any = msgspec.field(name="Input Dims", default=None)
    inputs: Any = msgspec.field(name="Concrete Inputs", default=None)


class TraceEvent(msgspec.Struct, gc=False):
    """One event of the Trace Event Format, times in microseconds."""

    ph: str | None = None
    cat: str | None = None
    name: str | None = None
    pid: int | float | str | None = None
    tid: int | float | str | None = None
    ts: int | float | str | None = None
    dur: int | float | str | None = None
    args: Args | None = None


class TraceHeader(msgspec.Struct):
    """What stands beside the events."""

    deviceProperties: Any = None  # noqa: N815 -- the file's own spelling
    distributedInfo: Any = None  # noqa: N815
    warnings: Any = msgspec.field(name="WARNING", default=None)
    errors: Any = msgspec.field(name="ERROR", default=None)

    def merge(self, other: TraceHeader) -> None:
        """Take from ``other`` what is missing here."""
        for name in TraceHeader.__struct_fields__:
            if getattr(self, name) is None:
                setattr(self, name, getattr(other, name))


class TraceFile(TraceHeader):
    """A whole trace file, or the end of one."""

    traceEvents: list[TraceEvent] = msgspec.field(default_factory=list)  # noqa: N815


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

_decode_batch = msgspec.json.Decoder(list[TraceEvent]).decode


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
        match = _ERROR_BYTE.search(str(error))
        if match is None:
            raise FlawError("early", ENDS_EARLY, len(text)) from error
        what, at = match.group(1), int(match.group(2))
        if what == "trailing characters":
            # The decoder has already taken the first character behind the list.
            raise FlawError("ended", "more follows than its events", at - 1) from error
        raise FlawError("damaged", what, at) from error


def decode_events(text: Text) -> tuple[list[TraceEvent], int]:
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


def decode_document(text: Text) -> TraceFile | None:
    """Decode a whole file; None where its events need the care of :func:`decode_events`."""
    try:
        document = msgspec.json.decode(text, type=TraceFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if _need_decimals(document.traceEvents) else document


def decode_header(text: Text) -> TraceHeader:
    """Decode what stands beside the events in a whole file.

    Raises:
        FlawError: the text is no JSON object.
    """
    with _flaws_of(text):
        return msgspec.json.decode(text, type=TraceHeader)


@cache
def _exact_decoder() -> Callable[[Text], Sequence[TraceEvent]]:
    """Decode times as decimals, for clocks that a float cannot hold to the nanosecond."""

    class ExactEvent(TraceEvent, gc=False):
        ts: Decimal | None = None  # type: ignore[assignment]
        dur: Decimal | None = None  # type: ignore[assignment]

    return msgspec.json.Decoder(list[ExactEvent]).decode


def _decode_leniently(text: Text) -> tuple[list[TraceEvent], int]:
    raws = msgspec.json.decode(bytes(text), type=list[msgspec.Raw])
    batch: list[TraceEvent] = []
    for raw in raws:
        try:
            event = msgspec.json.decode(raw, type=TraceEvent)
            one = b"[" + bytes(raw) + b"]"
            batch += _exact_decoder()(one) if _need_decimals([event]) else [event]
        except msgspec.ValidationError:
            continue
    return batch, len(raws) - len(batch)


def _need_decimals(batch: list[TraceEvent]) -> bool:
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
_SURROGATE = rb"(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_STRING_OR_COMMA = rb'("(?:[^"\\]|\\.)*")|,(\s*[\]}])'
_CONTROL = rb"[\x00-\x1f]"


def repaired(text: bytes) -> bytes:
    """``text`` without what writers are known to get wrong.

    That is nan and inf, lone backslashes and surrogates, bad UTF-8, raw control characters in
    strings, and a comma behind the last element of a list or an object.
    """
    text = re.sub(_NONFINITE, rb"\1null", text, flags=re.IGNORECASE)
    text = re.sub(_BAD_ESCAPE, lambda match: match.group(1) or rb"\\", text)
    text = re.sub(_SURROGATE, lambda match: match.group(1) or rb"\ufffd", text)
    text = re.sub(_STRING_OR_COMMA, _without_control_or_comma, text, flags=re.DOTALL)
    return text.decode("utf-8", errors="replace").encode()


def _without_control_or_comma(match: re.Match[bytes]) -> bytes:
    string: bytes | None = match.group(1)
    if string is None:
        return bytes(match.group(2))
    return re.sub(_CONTROL, lambda hit: b"\\u%04x" % hit.group()[0], string)
