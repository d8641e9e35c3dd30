"""Markdown as a parser reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: What seqprof's own Markdown is made of.
OWN = {
    *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text"),
    *("table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close"),
    *("tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close", "text_special"),
    *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    *("strong_open", "strong_close", "em_open", "em_close", "code_inline", "html_inline"),
    *("fence", "html_block"),
}
#: Blocks of HTML: what folds long parts.
_FOLD = re.compile(r"(<details><summary>[^<>]*</summary>|</details>)\n?")


def tokens(text: str) -> Iterator[Token]:
    for token in PARSER.parse(text):
        yield token
        yield from token.children or ()


def check(document: str) -> list[Token]:
    """Assert that ``document`` holds seqprof's own markup only; return its tokens."""
    found = list(tokens(document))
    assert {token.type for token in found} <= OWN
    assert all(_FOLD.fullmatch(t.content) for t in found if t.type == "html_block")
    assert {token.content for token in found if token.type == "html_inline"} <= {"<sub>", "</sub>"}
    return found
