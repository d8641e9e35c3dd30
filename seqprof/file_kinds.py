"""What a file that a command cannot take really is, and which command takes it. Without torch."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

FileKind: TypeAlias = Literal["recording", "history", "trace", "spec", "program", "report", "table"]

#: The beginning of a file tells what it is; a recording says so in its first 20 bytes.
_HEAD_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


@dataclass(frozen=True, slots=True)
class _Use:
    """How a kind of file is called in a sentence, and the command that takes it."""

    noun: str
    command: str


_USES: dict[FileKind, _Use] = {
    "recording": _Use("a seqprof recording", "seqprof show {}"),
    "history": _Use("a seqprof history", "seqprof history {}"),
    "trace": _Use("a torch.profiler trace", "seqprof trace {}"),
    "spec": _Use("a YAML file", "seqprof run {}"),
    "program": _Use("a Python program", "seqprof exec -- python {}"),
    "report": _Use("a report", "seqprof show RUN.json"),
    "table": _Use("an export, if seqprof wrote it; a recording is JSON", "seqprof show RUN.json"),
}


def kind_of(path: str | Path) -> FileKind | None:
    """Return what ``path`` is, by its content where that tells, else by its ending."""
    path = Path(path)
    head = _head(path)
    if head is None:
        return None
    start = head.lstrip()[:4096]
    if start.startswith(b"{") and b'"history_version"' in start:
        return "history"
    if start.startswith(b"{") and b'"schema_version"' in start:
        return "recording"
    if b'"traceEvents"' in head or (start.startswith(b"[") and b'"ph"' in start):
        return "trace"
    if start[:15].lower() == b"<!doctype html>":
        return "report"
    by_ending: dict[str, FileKind] = {
        **dict.fromkeys((".yaml", ".yml"), "spec"),
        **dict.fromkeys((".csv", ".md", ".prom"), "table"),
        ".py": "program",
    }
    return by_ending.get(path.suffix)


def better_use(path: str | Path, *refused: FileKind) -> str | None:
    """Return what ``path`` is and which command takes it, as a hint.

    Args:
        refused: the kinds that the command itself takes: such a file is only damaged, and nothing
            else would take it.
    """
    kind = kind_of(path)
    if kind is None or kind in refused:
        return None
    use = _USES[kind]
    return f"it is {use.noun}: `{use.command.format(path)}`"


def _head(path: Path) -> bytes | None:
    """Return the first bytes, decompressed; None where there is no such file to read."""
    if not path.is_file():  # also a pipe, which can be read but once
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    if not head.startswith(_GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return head
