"""Text from specs, module names, traces and paths, made harmless for the format it goes into."""

from __future__ import annotations

import re

from seqprof.visible_text import visible


def printable(text: str) -> str:
    """Show control characters but tab and line feed, and what UTF-8 cannot hold, as ``\\x1b``."""
    return visible(text)


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
    return _MARKER.sub(r"\1\\\2", markdown_inline(text))


def markdown_inline(text: str) -> str:
    """Return the same for a place that no line begins at, as a cell of a table."""
    escaped = _MARKDOWN.sub(lambda match: "\\" + match[0], one_line(text))
    # No backslash stops GitHub from notifying a person or opening a link: a joiner without width
    # does.
    return _MENTION.sub("@\N{WORD JOINER}", escaped).replace("://", ":\N{WORD JOINER}//")


def markdown_code(text: str) -> str:
    """Return ``text`` as a code span, also for a cell of a table."""
    line = one_line(text) or " "
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if len(ticks) > 1 else ""
    return f"{ticks}{pad}{line}{pad}{ticks}".replace("|", "\\|")


def markdown_sentence(text: str) -> str:
    """Return one line of Markdown; what stands between backticks in ``text`` is code."""
    parts = one_line(text).split("`")
    if len(parts) % 2 == 0:
        return markdown(text)
    return "".join(
        markdown_code(part) if index % 2 else _with_ends(part) for index, part in enumerate(parts)
    )


def _with_ends(text: str) -> str:
    """Escape a part of a line and keep the spaces at its ends."""
    inner = text.strip()
    if not inner:
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    escaped = markdown(inner) if not before else markdown_inline(inner)
    return f"{before}{escaped}{after}"


def code_block(text: str) -> list[str]:
    """Return the lines of a fenced block; the fence is longer than any that ``text`` holds."""
    clean = printable(text)
    ticks = "`" * max(3, max(map(len, re.findall("`+", clean)), default=0) + 1)
    return [ticks, *clean.split("\n"), ticks]
