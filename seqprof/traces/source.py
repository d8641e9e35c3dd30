"""A trace file as a stream of bytes, unpacked as it is read."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from seqprof.errors import SeqprofError
from seqprof.suggest import nearest_file
from seqprof.traces.containers import CHUNK_BYTES, BrokenStreamError, unpacked

#: The path that stands for standard input.
STDIN = Path("-")
_CHUNKS_AHEAD = 2


class ReadAhead:
    """Read and unpack on a thread of its own, at most a few chunks ahead of its consumer.

    Decompressing holds no lock of the interpreter, so it costs no time while the consumer decodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chunks: queue.Queue[bytes | Exception | None] = queue.Queue(_CHUNKS_AHEAD)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for chunk in read_chunks(self.path):
                self._chunks.put(chunk)
        except Exception as error:  # whatever it is, the consumer must not wait for ever
            self._chunks.put(error)
        else:
            self._chunks.put(None)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks, once; raises what :func:`read_chunks` raises."""
        while (chunk := self._chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of ``path`` (``-``: standard input; a pipe too), unpacked.

    Raises:
        SeqprofError: the file cannot be opened, or what it is packed in cannot be.
        BrokenStreamError: after the last whole chunk of a cut or damaged container.
    """
    try:
        if path == STDIN:
            yield from unpacked(_blocks(sys.stdin.buffer), name_of(path))
            return
        with path.open("rb") as file:
            yield from unpacked(_blocks(file), name_of(path))
    except OSError as error:
        near = (
            nearest_file(path, ".json", ".gz", ".zst")
            if isinstance(error, FileNotFoundError)
            else None
        )
        raise SeqprofError(
            f"cannot read {name_of(path)}: {error.strerror or error}",
            f"did you mean {near}?" if near else "`seqprof run --trace FILE.json.gz` writes traces",
        ) from error


def _blocks(file: object) -> Iterator[bytes]:
    """Blocks of what is there: a pipe is not waited for until a block is full."""
    read = getattr(file, "read1", None) or file.read  # type: ignore[attr-defined]
    return iter(lambda: read(CHUNK_BYTES), b"")


def name_of(path: Path) -> str:
    """How messages name ``path``."""
    return "standard input" if path == STDIN else str(path)


def place_of(path: Path, at: int) -> str:
    """Where byte ``at`` of the unpacked text is, as ``path:line:column``."""
    if not path.is_file():
        return f"{name_of(path)}:byte {at}"
    line = column = 1
    try:
        for chunk in read_chunks(path):
            piece = chunk[:at]
            line += piece.count(b"\n")
            newline = piece.rfind(b"\n")
            column = len(piece) - newline if newline >= 0 else column + len(piece)
            at -= len(piece)
            if at <= 0:
                break
    except BrokenStreamError:
        pass  # the place is where it breaks
    return f"{path}:{line}:{column}"
