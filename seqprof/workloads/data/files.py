"""Files of text as people have them: compressed or not, in any encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path

from seqprof.errors import SeqprofError

#: First bytes of a compressed file → what opens it.
_COMPRESSED = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
#: Byte order marks → the encoding that they tell; the longer ones first.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_bytes(file: Path, limit: int = -1) -> bytes:
    """Return the content of ``file``, decompressed (gzip, bzip2, xz), at most ``limit`` bytes.

    Raises:
        SeqprofError: it cannot be read, or is damaged.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
        for magic, opened in _COMPRESSED.items():
            if start.startswith(magic):
                with opened(file) as compressed:
                    content: bytes = compressed.read(limit)
                return content
        with file.open("rb") as stream:
            return stream.read(limit)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, ValueError) as error:
        raise SeqprofError(
            f"data.path: {file} is damaged: {error}",
            "decompress it yourself to see how far it goes",
        ) from error
    except OSError as error:
        raise SeqprofError(f"data.path: cannot read {file}: {error.strerror or error}") from error


def marked_encoding(content: bytes) -> str | None:
    """Return the encoding that the byte order mark of ``content`` tells; None without a mark."""
    return next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)


def decode(content: bytes, file: Path, encoding: str | None) -> tuple[str, str]:
    """Return the text of ``content`` and the encoding that it was read in.

    Args:
        encoding: as ``data.encoding`` gives it; None finds it: by the byte order mark, else UTF-8,
            else Windows' Latin (cp1252), else Latin-1, in which every byte is something.

    Raises:
        SeqprofError: it is not in the encoding given, or not text.
    """
    encoding = encoding or marked_encoding(content)
    if encoding is not None:
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            column = error.start - content.rfind(b"\n", 0, error.start)
            raise SeqprofError(
                f"{file}:{line}:{column}: the byte 0x{content[error.start]:02x} is not {encoding}",
                "leave data.encoding out to have it found, or try latin-1",
            ) from None
    if b"\0" in content[:8192]:
        raise SeqprofError(
            f"data.path: {file} is not text: it has a zero byte",
            "give a text file; for UTF-16 without a mark set data.encoding: utf-16-le",
        )
    for name in ("utf-8", "cp1252", "latin-1"):
        try:
            return content.decode(name), name
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")
