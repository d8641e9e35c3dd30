"""JSON Lines history ⇄ file: one line a measured workload, appended whole or not at all.

Writers may append at once: each locks the file, adds what it has in one write, and unlocks. A
writer that was killed in the middle leaves a torn last line; the next one starts on a line of its
own, and a reader reports the torn one by its number and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from seqprof.document_door import find_excess, read_document
from seqprof.errors import SeqprofError
from seqprof.file_kinds import better_use
from seqprof.store import STDOUT, dumps

#: Raised whenever a line changes shape.
HISTORY_VERSION = 1


class HistoryMetric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One headline number of a run, with its 95 % interval, or why it is null."""

    metric: str
    value: float | None
    unit: str
    method: str
    phase: str | None = None
    loop: str | None = None
    clock: str | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None

    @property
    def key(self) -> str:
        """The name by which `--metric` chooses it: phase_time.forward."""
        clock = self.clock if self.loop else None
        return ".".join(part for part in (self.metric, self.phase, self.loop, clock) if part)


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One workload that was measured."""

    history_version: int
    kind: str
    created: Annotated[str, Meta(description="ISO 8601, UTC")]
    model: str
    timesteps: int | None
    batch_size: int | None
    spec: Annotated[str, Meta(description="digest of the whole spec: equal specs, equal digests")]
    device: str
    cpu: str
    threads: int
    seqprof: str
    torch: str
    metrics: tuple[HistoryMetric, ...]
    commit: str | None = None
    label: Annotated[str | None, Meta(description="candidate of `compare` or `scale`")] = None
    other_load_cores: Annotated[
        float | None, Meta(description="cores that other programs kept busy meanwhile")
    ] = None


def append(lines: Sequence[HistoryLine], path: str | Path) -> None:
    """Add lines to the file, which is made where there is none.

    Raises:
        SeqprofError: the file cannot be written. It is then as long as it was before.
    """
    import fcntl

    document = b"".join(dumps(line) + b"\n" for line in lines)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write(descriptor, document)
        finally:
            os.close(descriptor)  # which unlocks it too
    except OSError as error:
        raise SeqprofError(
            f"cannot append to {path}: {error.strerror or error}",
            "choose a file in a folder that exists and is yours",
        ) from error


def _write(descriptor: int, document: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        document = b"\n" + document  # a writer died in the middle of the last line
    try:
        written = os.write(descriptor, document)
        while written < len(document):  # a full disk takes a part, then refuses
            written += os.write(descriptor, document[written:])
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def check_appendable(path: str | Path) -> None:
    """Refuse a path that :func:`append` could not write, before anything is measured.

    Raises:
        SeqprofError: it is a folder, there is no such folder, it is not ours to write in, or it is
            a file of another kind.
    """
    from seqprof.store import check_writable

    if str(path) == STDOUT:
        raise SeqprofError("--append needs a file", "as in --append history.jsonl")
    check_writable(path)
    other = better_use(path, "history")
    if other is not None:
        raise SeqprofError(f"--append {path}: it is not a history", f"{other}; name a new file")


class Damaged(msgspec.Struct, frozen=True):
    """A line that could not be read."""

    number: Annotated[int, Meta(description="from 1")]
    reason: str


def read(path: str | Path) -> tuple[tuple[HistoryLine, ...], tuple[Damaged, ...]]:
    """Read a history; what is damaged is told, and the rest is read all the same.

    Raises:
        SeqprofError: the file cannot be read, or is something else than a history.
    """
    data = read_document(path, "`seqprof run --append history.jsonl` writes histories")
    lines, damaged = [], []
    for number, text in enumerate(data.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            lines.append(_decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            damaged.append(Damaged(number, _reason_of(error)))
    if damaged and not lines:
        _check_is_history(path, data)
    return tuple(lines), tuple(damaged)


def _check_is_history(path: str | Path, data: bytes) -> None:
    """Refuse a file of which no line could be read and that is no damaged history either.

    Raises:
        SeqprofError: it is something else.
    """
    other = better_use(path, "history")
    torn = data.strip()  # perhaps in its first letters
    begun = b'"history_version"' in data or b'{"history_version"'.startswith(torn)
    if other is not None or not begun:
        hint = other or "`seqprof run --append history.jsonl` writes histories"
        raise SeqprofError(f"{path} is not a history that --append wrote", hint)


def _decode(text: bytes) -> HistoryLine:
    line = msgspec.json.decode(text, type=HistoryLine)
    if line.history_version > HISTORY_VERSION:
        raise msgspec.ValidationError(
            f"written by a newer seqprof (history {line.history_version})"
        )
    excess = find_excess(line)
    if excess is not None:
        raise msgspec.ValidationError(excess)
    return line


def _reason_of(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return f"not JSON: {error}"
