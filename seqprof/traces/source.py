"""A trace file as a stream of bytes, decompressed as it is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from seqprof.errors import SeqprofError

#: Bytes handed on at a time; what is held in memory is a small multiple of it.
CHUNK_BYTES = 1 << 21
_READ_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31


class BrokenStreamError(Exception):
    """The compressed stream ends early or is damaged; what came before it has been handed on."""


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
                raise BrokenStreamError(str(error)) from error
            if data:
                yield data
            rest = stream.unconsumed_tail
            if stream.eof:
                rest = stream.unused_data
                if not rest.startswith(_GZIP_MAGIC):
                    return
                stream = zlib.decompressobj(_GZIP_WINDOW)
    if not stream.eof:
        raise BrokenStreamError("the compressed stream ends early")
