"""A stream of bytes out of whatever it is packed in: told by its first bytes, not by its name.

Containers may be nested (``.tar.gz``, gzip twice). Each is unpacked as it is read, but a zip, whose
directory stands at its end: of a stream it is set aside in a temporary file first.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol, TypeAlias

from seqprof.errors import SeqprofError

#: Bytes handed on at a time; what is held in memory is a small multiple of it.
CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 18
_ZSTD_BLOCK_BYTES = 1 << 14
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
#: Where a tar says that it is one.
_TAR_AT, _TAR_MAGIC = 257, b"ustar"
_HEAD_BYTES = 512
_DEEPEST = 4

_Unpack: TypeAlias = Callable[[Iterator[bytes], str], Iterator[bytes]]


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class BrokenStreamError(Exception):
    """The compressed stream ends early or is damaged; what came before it has been handed on."""

    def __init__(self, what: str, truncated: bool) -> None:
        super().__init__(what)
        self.truncated = truncated


def unpacked(chunks: Iterator[bytes], name: str, depth: int = 0) -> Iterator[bytes]:
    """Yield what is inside ``chunks``; they themselves if they are packed in nothing.

    Raises:
        SeqprofError: an archive holds no trace or several, or a decompressor is not installed.
        BrokenStreamError: after the last whole chunk of a cut or damaged container.
    """
    head = b""
    while len(head) < _HEAD_BYTES and (more := next(chunks, b"")):
        head += more
    whole = _after(head, chunks)
    unpack = _unpacker(head)
    if unpack is None:
        yield from whole
        return
    if depth == _DEEPEST:
        raise SeqprofError(f"{name} is packed {depth} times over", "unpack it")
    yield from unpacked(unpack(whole, name), name, depth + 1)


def _unpacker(head: bytes) -> _Unpack | None:
    if head[_TAR_AT:].startswith(_TAR_MAGIC):
        return _untar
    return next((unpack for magic, unpack in _BY_MAGIC if head.startswith(magic)), None)


def _after(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _gunzip(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Decompress gzip members one after another; bytes that follow the last are padding."""
    stream = zlib.decompressobj(_GZIP_WINDOW)
    # What a call leaves over is copied: small blocks keep that small.
    for block in _small(chunks):
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


def _small(chunks: Iterator[bytes], most_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), most_bytes):
            yield chunk[at : at + most_bytes]


def _decompress(
    chunks: Iterator[bytes],
    what: str,
    new: Callable[[], _Decompressor],
) -> Iterator[bytes]:
    """Decompress one stream after another of the same kind; padding may follow the last."""
    from lzma import LZMAError

    stream, used = new(), False
    for block in chunks:
        rest = block
        while rest or not (stream.eof or stream.needs_input):
            try:
                data = stream.decompress(rest, CHUNK_BYTES)
            except (OSError, LZMAError, EOFError) as error:
                raise BrokenStreamError(
                    f"{what} cannot go on ({error})", truncated=False
                ) from error
            if data:
                yield data
            rest, used = b"", True
            if stream.eof:
                rest, stream, used = stream.unused_data.lstrip(b"\0"), new(), False
    if used:
        raise BrokenStreamError(f"the {what} stream ends early", truncated=True)


# Each is imported where a file needs it: they cost a tenth of a small trace.


def _bunzip2(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    import bz2

    return _decompress(chunks, "bzip2", bz2.BZ2Decompressor)


def _unxz(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    import lzma

    return _decompress(chunks, "xz", lzma.LZMADecompressor)


def _unzstd(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise SeqprofError(
            f"{name} is compressed with Zstandard, which this Python cannot read",
            "pip install zstandard, or: zstd -dc FILE | seqprof trace -",
        ) from error

    class Frame:
        """One frame, as the decompressors of the standard library are used."""

        needs_input = True  # it hands over all that a block holds

        def __init__(self) -> None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()

        @property
        def eof(self) -> bool:
            return bool(self._frame.eof)

        @property
        def unused_data(self) -> bytes:
            return bytes(self._frame.unused_data)

        def decompress(self, data: bytes, _most: int) -> bytes:
            try:
                return bytes(self._frame.decompress(data))
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error

    # A block may unpack to much more than itself: small ones keep that small.
    return _decompress(_small(chunks, _ZSTD_BLOCK_BYTES), "zstd", Frame)


def _unzip(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    import tempfile
    import zipfile

    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(chunk)
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise BrokenStreamError(f"the zip is not whole ({error})", truncated=True) from error
        with archive:
            members = [each for each in archive.infolist() if _is_trace(each.filename)]
            _check_one([each.filename for each in members], name)
            with archive.open(members[0]) as member:
                try:
                    yield from _read_all(member)
                except (zlib.error, zipfile.BadZipFile, EOFError) as error:
                    what = f"zip cannot go on ({error})"
                    raise BrokenStreamError(what, truncated=False) from error


def _untar(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    import tarfile

    members: list[str] = []
    try:
        with tarfile.open(fileobj=_File(chunks), mode="r|") as archive:
            for member in archive:
                if not (member.isfile() and _is_trace(member.name)):
                    continue
                members.append(member.name)
                if len(members) > 1:
                    break
                yield from _read_all(archive.extractfile(member))
    except tarfile.ReadError as error:
        raise BrokenStreamError(f"the tar is not whole ({error})", truncated=True) from error
    _check_one(members, name)


def _read_all(file: IO[bytes] | None) -> Iterator[bytes]:
    while file is not None and (chunk := file.read(CHUNK_BYTES)):
        yield chunk


def _is_trace(member: str) -> bool:
    """Whether a file of an archive may be a trace, by its name."""
    base = member.rpartition("/")[2]
    return ".json" in base.lower() and not base.startswith(".")


def _check_one(members: list[str], name: str) -> None:
    if not members:
        raise SeqprofError(f"{name} is an archive without a .json in it", "pack a trace into it")
    if len(members) > 1:
        raise SeqprofError(
            f"{name} is an archive of several traces ({', '.join(members[:2])} …)",
            "unpack it and give its folder, which compares ranks, or one of its files",
        )


_BY_MAGIC: tuple[tuple[bytes, _Unpack], ...] = (
    (_GZIP_MAGIC, _gunzip),
    (b"BZh", _bunzip2),
    (b"\xfd7zXZ\x00", _unxz),
    (b"\x28\xb5\x2f\xfd", _unzstd),
    (b"PK\x03\x04", _unzip),
)


class _File(io.RawIOBase):
    """Chunks as a file that can only be read on."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what comes next; 0 at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def read(self, size: int = -1) -> bytes:
        """Exactly ``size`` bytes but at the end, as tar needs them."""
        if size < 0:
            return self.readall() or b""
        parts = []
        while size > 0 and (part := super().read(min(size, CHUNK_BYTES))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
