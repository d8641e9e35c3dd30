"""The formats together: what the table of built-ins promises, golden files, several, hostility."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_recordings import ALL
from format_results import HOSTILE, hostile_run, small, small_accelerator
from html_results import every_kind
from syrupy.assertion import SnapshotAssertion

from seqprof import __version__
from seqprof.errors import SeqprofError
from seqprof.reports import formats
from seqprof.reports.formats import Format, Kind, Result, result_of
from seqprof.reports.kinds import KINDS

BUILT_IN = ("table", "json", "csv", "markdown", "html", "chrome", "prometheus")
TEXT = tuple(name for name in BUILT_IN if name != "html")  # whose golden files are its own


def test_the_table_of_built_ins_is_what_the_formats_say() -> None:
    made = {name: formats.load(name) for name in BUILT_IN}
    assert formats.names()[: len(BUILT_IN)] == list(BUILT_IN)
    assert {name: found.name for name, found in made.items()} == {name: name for name in BUILT_IN}
    for found in made.values():
        assert len(found.title) <= 100
        for suffix in found.suffixes:
            assert formats.for_path(f"folder.csv/name{suffix}") is found
            assert formats.for_path(f"NAME{suffix.upper()}") is found


def test_without_an_ending_it_is_the_document() -> None:
    for path in ("-", "out", "results.v2/out", ".csv/out"):
        assert formats.for_path(path).name == "json", path


@pytest.mark.parametrize("path", ["run.xyz", "x.pdf", "plots/run.jsno"])
def test_an_unknown_ending_is_refused(path: str) -> None:
    with pytest.raises(SeqprofError, match="no format writes files that end in"):
        formats.for_path(path)


def test_an_unknown_format_is_told_with_the_nearest() -> None:
    with pytest.raises(SeqprofError, match="did you mean 'markdown'") as caught:
        formats.load("markdwon")
    assert caught.value.exit_code == 2


def test_what_a_format_cannot_show_is_refused() -> None:
    with pytest.raises(SeqprofError, match="chrome cannot show what `seqprof depth` found"):
        formats.check(formats.load("chrome"), ["run", "depth"])
    one = Format(
        name="one",
        title="",
        suffixes=(),
        kinds=formats.EVERY_KIND,
        several=False,
        render=lambda _: b"",
    )
    formats.check(one, ["run"])
    with pytest.raises(SeqprofError, match="one result at a time, not 2"):
        formats.check(one, ["run", "run"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_each_shows_what_it_says_it_can(name: str, kind: Kind, tmp_path: Path) -> None:
    """And says so of every command but where it makes no sense."""
    found = formats.load(name)
    if kind not in found.kinds:
        assert (name, kind) in {
            (n, k)
            for n in ("chrome", "prometheus")
            for k in ("depth", "explain", "trace", "ranks", "diff", "history")
        }
        return
    assert found.render([every_kind(tmp_path)[kind]])


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("recording", sorted(set(ALL) - {"long"}))
def test_nothing_that_is_missing_breaks_one(name: str, recording: str) -> None:
    result = result_of(ALL[recording](), f"{recording}.json")
    document = formats.load(name).render([result])
    assert document.endswith(b"\n")
    words = document.decode().replace(">", " ").replace('"', " ").split()
    assert not {"nan", "NaN", "inf", "Infinity", "None"} & set(words) or name == "html"


# Golden files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXT)
def test_golden_run(name: str, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    made = formats.load(name).render([small("run", tmp_path)]).decode()
    # The version that writes is in the envelope, and is another one after each release.
    assert (
        made.replace(f'"seqprof":"{__version__}","created"', '"seqprof":"…","created"') == snapshot
    )


@pytest.mark.parametrize("name", ["csv", "markdown", "chrome", "prometheus"])
def test_golden_accelerator(name: str, snapshot: SnapshotAssertion) -> None:
    result = result_of(small_accelerator(), "gpu.json")
    assert formats.load(name).render([result]).decode() == snapshot


@pytest.mark.parametrize("kind", ["depth", "trace", "diff", "history"])
@pytest.mark.parametrize("name", ["csv", "markdown"])
def test_golden_derived(name: str, kind: Kind, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    assert formats.load(name).render([small(kind, tmp_path)]).decode() == snapshot


@pytest.mark.parametrize("kind", ["compare", "scale", "explain"])
def test_golden_several_models(kind: Kind, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    """In Markdown, which rounds: intervals by resampling differ in the last digits by versions."""
    assert formats.load("markdown").render([small(kind, tmp_path)]).decode() == snapshot


# Hostile names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXT)
def test_any_name_gives_valid_utf8_without_control_characters(name: str) -> None:
    """The JSON document has its own escapes; the others replace what no text may hold."""
    result = hostile_run(HOSTILE.replace("\ud800", "") if name == "json" else HOSTILE)
    document = formats.load(name).render([result]).decode()  # strict
    assert not {"\x1b", "\x00", "\x9b"} & set(document)


def test_two_results_with_one_name_are_told_apart_or_refused() -> None:
    same = [result_of(ALL["cpu_cell"](), "a.json")] * 2
    for name in TEXT:
        if name == "prometheus":
            with pytest.raises(SeqprofError, match="one name"):
                formats.load(name).render(same)
        else:
            assert formats.load(name).render(same)


def test_a_result_of_each_kind_in_one_document(tmp_path: Path) -> None:
    results: list[Result] = list(every_kind(tmp_path).values())
    assert formats.load("markdown").render(results).count(b"\n### ") == len(KINDS) - 1
    assert formats.load("json").render(results).count(b"\n") == len(KINDS)
    table = formats.load("table").render(results).decode()
    assert table.count("\n== ") + table.startswith("== ") == len(KINDS)
