"""Markdown as a parser reads it: tables hold, and no name from outside becomes markup."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from example_recordings import ALL
from format_results import HOSTILE, hostile_run
from html_results import every_kind
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it.token import Token
from markdown_parser import OWN, check, tokens

from seqprof.reports.escaping import markdown, markdown_code, one_line
from seqprof.reports.formats import Kind, result_of
from seqprof.reports.kinds import KINDS
from seqprof.reports.renderers import MARKDOWN


def columns(found: list[Token]) -> list[int]:
    """Cells of each row of each table."""
    counts: list[int] = []
    for token in found:
        if token.type == "tr_open":
            counts.append(0)
        elif token.type in ("th_open", "td_open"):
            counts[-1] += 1
    return counts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [None, HOSTILE.replace("\ud800", "")])
def test_every_row_is_a_row_and_every_name_a_name(
    kind: Kind, name: str | None, tmp_path: Path
) -> None:
    result = every_kind(tmp_path, name)[kind]
    found = check(MARKDOWN.render([result]).decode())
    assert sum(token.type == "heading_open" for token in found) == 1
    tables = sum(token.type == "table_open" for token in found)
    assert tables >= 1
    assert len(columns(found)) >= 2 * tables
    # A pipe that got through would leave a row with more cells than its header; the parser drops
    # those, so the text is asked.
    lines = MARKDOWN.render([result]).decode().splitlines()
    for above, below in pairwise(lines):
        if above.startswith("|") and below.startswith("|"):
            assert bars(above) == bars(below)


def bars(row: str) -> int:
    return row.count("|") - row.count("\\|")


def test_hostile_names_of_a_run() -> None:
    document = MARKDOWN.render([hostile_run()]).decode()
    found = check(document)
    words = "".join(token.content for token in found if token.type in ("text", "text_special"))
    assert "`ticks` ``two``" in words
    assert "<img src=x" in words  # it is shown, as what it is
    assert "@someone" not in words  # nobody is notified


@given(st.text(max_size=60))
@example("__0__")
def test_a_sentence_reads_as_it_was(text: str) -> None:
    """On a line of its own in a list, whose beginning could be that of another list."""
    found = list(tokens(f"- {markdown(text)}"))
    assert {token.type for token in found} - OWN == set()
    read = "".join(t.content for t in found if t.type in ("text", "text_special"))
    assert read.replace("\N{WORD JOINER}", "") == one_line(text).replace("\N{WORD JOINER}", "")


@given(st.text(max_size=60))
def test_a_name_is_one_code_span(text: str) -> None:
    (span,) = (t for t in tokens(f"a {markdown_code(text)} b") if t.type == "code_inline")
    assert span.content.replace("\\|", "|").strip() == one_line(text).strip()


def test_model_names_with_a_form_can_be_copied() -> None:
    assert markdown("lstm@cell is faster") == "lstm@cell is faster"
    assert markdown("@cell") != "@cell"


def test_several_runs_are_sections() -> None:
    results = [result_of(make(), f"{name}.json") for name, make in ALL.items()]
    found = check(MARKDOWN.render(results).decode())
    assert sum(token.type == "heading_open" for token in found) == len(results)
