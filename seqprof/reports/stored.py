"""A file that any command wrote → results."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from seqprof import store
from seqprof.errors import SeqprofError
from seqprof.reports.formats import Result, result_of


class _Outline(msgspec.Struct):
    """What tells documents of the commands apart."""

    schema_version: int = 0
    recording: msgspec.Raw = msgspec.Raw()
    models: msgspec.Raw = msgspec.Raw()
    traces: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.field(name="traceEvents", default=msgspec.Raw())


def read(path: str | Path) -> list[Result]:
    """Return what a file holds: one result, or of `seqprof trace` one for each trace.

    Raises:
        SeqprofError: it is missing, not JSON, not of seqprof, or of a newer one.
    """
    name = str(path)
    try:
        data = sys.stdin.buffer.read() if name == store.STDOUT else Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SeqprofError(
            f"cannot read {path}: {reason}", "`seqprof run CONFIG -o RUN.json` writes recordings"
        ) from error
    try:
        outline = msgspec.json.decode(data, type=_Outline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        outline = _Outline()  # the store says what is wrong with it
    if bytes(outline.recording):
        return [result_of(store.loads(data, name), name)]
    if bytes(outline.models):
        return _depth(data, name, outline.schema_version)
    if bytes(outline.traces):
        return _traces(data, name, outline.schema_version)
    if bytes(outline.events):
        raise SeqprofError(f"{name} is a profiler's trace, not a recording", "use `seqprof trace`")
    return [result_of(store.loads(data, name), name)]


def _depth(data: bytes, name: str, version: int) -> list[Result]:
    from seqprof.reports.depth_json import SCHEMA_VERSION, from_json

    _check_version(version, SCHEMA_VERSION, name)
    try:
        found = from_json(data)
    except msgspec.DecodeError as error:
        raise _damaged(name, "depth", error) from error
    return [Result(kind="depth", name=name, summary=found, recording=None)]


def _traces(data: bytes, name: str, version: int) -> list[Result]:
    from seqprof.reports.trace_json import SCHEMA_VERSION, from_json

    _check_version(version, SCHEMA_VERSION, name)
    try:
        found = from_json(data)
    except msgspec.DecodeError as error:
        raise _damaged(name, "trace", error) from error
    return [Result(kind="trace", name=made.source, summary=made, recording=None) for made in found]


def _check_version(version: int, newest: int, name: str) -> None:
    if version > newest:
        raise SeqprofError(
            f"{name} was written by a newer seqprof (schema {version}; "
            f"this one reads up to {newest})",
            "pip install --upgrade seqprof",
        )


def _damaged(name: str, command: str, error: Exception) -> SeqprofError:
    return SeqprofError(
        f"{name} is not what `seqprof {command}` wrote: {error}", f"run `seqprof {command}` again"
    )
