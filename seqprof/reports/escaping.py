"""Text from specs, module names, traces and paths, made harmless for the format it goes into."""

from __future__ import annotations

import re

#: Control characters, except tab and line feed, and halves of surrogate pairs: no text format
#: takes them all.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Replace control characters but tab and line feed, and what UTF-8 cannot hold, by U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return printable text whose white space is single spaces."""
    return " ".join(printable(text).split())


#: Punctuation that means something in GitHub's Markdown wherever it stands in a line; an underscore
#: between letters or digits does not.
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~$&])|(?<![^\W_])(_)|(_)(?![^\W_])")

#: What at the beginning of a line makes a list, a heading or a rule of it.
_MARKER = re.compile(r"^(\d*)([-+#=.)])")
#: A person's name for GitHub; lstm@cell is none.
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def markdown(text: str) -> str:
    """Return one line of Markdown that reads as ``text``: no markup, HTML, link or mention."""
    escaped = _MARKDOWN.sub(lambda found: "\\" + found[0], one_line(text))
    escaped = _MARKER.sub(r"\1\\\2", escaped)
    # No backslash stops GitHub from notifying a person or opening a link: a joiner without width
    # does.
    return _MENTION.sub("@\N{WORD JOINER}", escaped).replace("://", ":\N{WORD JOINER}//")


def markdown_code(text: str) -> str:
    """Return ``text`` as a code span, also for a cell of a table."""
    line = one_line(text) or " "
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{line}{pad}{ticks}".replace("|", "\\|")
