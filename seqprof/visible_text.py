"""The one door for text from outside: names, paths, exceptions and strings of stored documents.

A terminal obeys control characters: a file's name can retitle the window, hide what stands before
it or overwrite a line. Bidirectional overrides make text read as what it is not (Boucher and
Anderson 2021, "Trojan Source"). Both are shown by their codes, as in ``\\x1b`` and ``\\u202e``,
before anything of them reaches a terminal, a log or an error message.
"""

from __future__ import annotations

import re

#: C0 and C1 control characters but tab and line feed; marks, embeddings, overrides and isolates of
#: direction; separators of lines and paragraphs; halves of surrogate pairs; the byte order mark and
#: what is no character.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_ANY_BREAK = re.compile(r"[\t\n]")


def visible(text: str) -> str:
    """Return ``text`` with what would be obeyed or hide shown; tab and line feed stay."""
    return _HIDDEN.sub(_shown, text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """Return ``text`` in one line: as :func:`visible`, and tab and line feed shown as well."""
    return _ANY_BREAK.sub(_shown, visible(text))


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in "\t\n":
        return {"\t": "\\t", "\n": "\\n"}[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def coded(document: bytes) -> bytes:
    r"""Return a document of JSON or HTML with what is hidden as ``\uXXXX``.

    To a reader of JSON that is the same string; HTML shows the code.
    """
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", document.decode()).encode()
