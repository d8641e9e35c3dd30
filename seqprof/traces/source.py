"""A trace file as a stream of bytes, decompressed as it is read."""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from seqprof.errors import SeqprofError

#: Bytes handed on at a time; what is held in memory is a small multiple of it.
CHUNK_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_CHUNKS_AHEAD = 4
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


class BrokenStreamError(Exception):
    """The compressed stream ends early or is damaged; what came before it has been handed on."""

    def __init__(self, what: str, truncated: bool) -> None:
        super().__init__(what)
        self.truncated = truncated


class ReadAhead:
    """Read and decompress on a thread of its own, at most a few chunks ahead of its consumer.

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
    """Yield the bytes of ``path``, decompressed if it is gzip (told by content, not by name).

    Raises:
        SeqprofError: the file cannot be opened.
        BrokenStreamError: after the last whole chunk of a cut or damaged gzip stream.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(2)
            file.seek(0)
            if magic == _GZIP_MAGIC:
                yield from _decompress(iter(lambda: file.read(_READ_BYTES), b""))
            else:
                yield from iter(lambda: file.read(CHUNK_BYTES), b"")
    except OSError as error:
        raise SeqprofError(
            f"cannot read {path}: {error.strerror}", "give the path of a trace file"
        ) from error


def _decompress(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip members one after another; bytes that follow the last are padding."""
    stream = zlib.decompressobj(_GZIP_WINDOW)
    for block in blocks:
        rest = block
        while rest:
            try:
                data = stream.decompress(rest, CHUNK_BYTES)
            except zlib.error as error:
                what = str(error).rpartition(": ")[2]
                raise BrokenStreamError(f"gzip cannot go on ({what})", truncated=False) from error
            if data:
                yield data
            rest = stream.unconsumed_tail
            if stream.eof:
                rest = stream.unused_data
                if not rest.startswith(_GZIP_MAGIC):
                    return
                stream = zlib.decompressobj(_GZIP_WINDOW)
    if not stream.eof:
        raise BrokenStreamError("the gzip stream ends early", truncated=True)


def place_of(path: Path, at: int) -> str:
    """Where byte ``at`` of the decompressed text is, as ``path:line:column``."""
    if not path.is_file():
        return f"{path}:byte {at}"
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
