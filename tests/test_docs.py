"""The documentation's commands and code are what the program takes.

Every command in a fenced block must parse: its command and options exist, its values are of the
right type. Those that read stored results, or need nothing at all, are run as they stand there, in
a folder that holds the files they name. Those that train would take minutes; other tests run each
of these commands.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from diff_recordings import again, base, slower
from stored_results import save
from typer.main import get_command

from seqprof.analysis.history.lines import history_lines
from seqprof.cli.app import command_line
from seqprof.history import append

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that read what is stored.
READERS = ("show", "diff", "history", "dashboard", "list", "schema")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
#: Words that end a command of a shell.
OPERATORS = frozenset({"|", ">", ">>", "&&", "||", ";"})


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and content of each fenced block, without its indentation."""
    for margin, language, content in FENCE.findall(page.read_text(encoding="utf-8")):
        yield language, re.sub(f"^{margin}", "", content, flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each seqprof command in the page's fenced blocks."""
    for language, content in blocks(page):
        if language not in ("", "sh", "yaml"):
            continue
        for line in re.sub(r"\\\n\s*", "", content).splitlines():
            # A column of explanation may follow, and a prompt or a variable stand before it.
            told = re.split(r"\s{3,}(?=\S)|\s+#\s", line.strip().lstrip("( "), maxsplit=1)[0]
            found = re.search(r"(?:^|\$ |&& |^[A-Z_]+=\S+ )(seqprof [a-z].*)", told)
            if found is not None and not told.startswith("seqprof:"):
                yield cut(shlex.split(found[1].rstrip(")")))


def cut(words: list[str]) -> list[str]:
    """Return the words of the first command of a line of a shell."""
    ends = [index for index, word in enumerate(words) if word in OPERATORS]
    return words[: ends[0]] if ends else words


EVERY = [(page.name, words) for page in PAGES for words in commands(page)]


def test_commands_are_found() -> None:
    assert len(EVERY) > 30
    assert {words[1] for _, words in EVERY} >= {
        "run", "compare", "scale", "depth", "trace", "show", "diff", "history", "dashboard"
    }  # fmt: skip


@cache
def program() -> Any:
    return get_command(command_line())


@pytest.mark.parametrize(("page", "words"), EVERY, ids=lambda of: shlex.join(of)[:60])
def test_every_command_parses(page: str, words: list[str]) -> None:
    assert command_of(page, words).params


def command_of(page: str, words: list[str]) -> Any:
    """Return the context of the command that ``words`` are parsed as."""
    command: Any = program()
    context, rest, name = None, words[1:], "seqprof"
    while hasattr(command, "resolve_command"):
        context = command.context_class(command, info_name=name, parent=context)
        name, command, rest = command.resolve_command(context, rest)
        assert command is not None, (page, words)
    with command.make_context(name, rest, parent=context) as made:
        return made


def test_a_command_that_does_not_parse_would_be_found() -> None:
    for words in (["show", "--no-such", "x"], ["shwo"], ["trace"]):
        with pytest.raises(Exception, match=r"No such|Missing"):
            test_every_command_parses("", ["seqprof", *words])


# Run as they stand ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the documentation's commands read."""
    for name in ("run", "main", "base1", "base2", "base3", "main1", "main2", "main3", "a", "lstm"):
        save(base(), tmp_path / f"{name}.json")
    for name in ("branch", "new1", "new2", "new3", "b", "gru"):
        save(again(), tmp_path / f"{name}.json")
    append(history_lines(base()), tmp_path / "history.jsonl")
    return tmp_path


def shell(command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `seqprof` is this one."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )


RUN = [(page, words) for page, words in EVERY if words[1] in READERS]


@pytest.mark.parametrize(("page", "words"), RUN, ids=lambda of: shlex.join(of)[:60])
def test_every_command_that_reads_runs(page: str, words: list[str], folder: Path) -> None:
    command = shlex.join(words)
    if "$" in command or "…" in command:
        pytest.skip("it holds a place for what the user has")
    done = shell(command, folder)
    assert done.returncode == 0, (page, done.stderr)
    assert "Traceback" not in done.stderr


def test_the_job_s_comparison_passes_and_fails(folder: Path) -> None:
    """As the job of docs/diff.md says it, with its summary page."""
    (content,) = (c for language, c in blocks(ROOT / "docs/diff.md") if language == "yaml")
    steps = yaml.safe_load(content)["jobs"]["diff"]["steps"]
    (compare,) = (step["run"] for step in steps if step.get("name") == "Compare")
    summary = folder / "summary.md"
    done = shell(compare, folder, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    assert "passed: step" in summary.read_text(encoding="utf-8")
    for number in (1, 2, 3):
        save(slower({"forward": 1.3, "backward": 1.3}), folder / f"new{number}.json")
    done = shell(compare, folder, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 3, done.stderr
    assert "FAILED: step" in summary.read_text(encoding="utf-8")


def test_the_code_for_csv_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(folder)
    assert shell("seqprof show run.json -o run.csv", folder).returncode == 0
    known: dict[str, object] = {}
    codes = [c for language, c in blocks(ROOT / "docs/reports.md") if language == "python"]
    pandas, duck, latency, _ = codes
    exec(pandas + latency, known)
    assert known["latency"].shape == (64, 2)  # type: ignore[attr-defined]
    exec(duck, known)
    (query,) = (c for language, c in blocks(ROOT / "docs/reports.md") if language == "sql")
    found = dict(duckdb.sql(query).fetchall())
    assert found["forward"] == 40  # the slow timestep of the example


def test_the_plug_in_of_the_documentation_is_one(folder: Path) -> None:
    found = dict(blocks(ROOT / "docs/reports.md"))
    site = folder / "site"
    metadata = site / "shouting-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[seqprof.reports]\nshout = shouting:SHOUT\n")
    assert 'shout = "shouting:SHOUT"' in found["toml"]
    (site / "shouting.py").write_text(found["python"])
    done = shell("seqprof show run.json -f shout", folder, PYTHONPATH=f"{site}:{ROOT}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("run run.json: ")


def test_programs_of_jq_run(folder: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed (Debian package jq)")
    programs = [
        content
        for page in PAGES
        for language, content in blocks(page)
        if language == "sh" and content.startswith("jq ")
    ]
    assert len(programs) >= 3
    for program in programs:
        done = shell(program, folder)
        assert done.returncode == 0, (program, done.stderr)
        assert done.stdout.strip() or (folder / "latency.csv").stat().st_size, program


def test_code_for_recordings_runs(folder: Path) -> None:
    pytest.importorskip("pandas")
    codes = [c for language, c in blocks(ROOT / "docs/recording.md") if language == "python"]
    for code in codes:
        if ".plot()" in code:
            code = code.replace(".plot()", "")  # which needs matplotlib
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LINKED += sorted((ROOT / "docs" / "evidence").glob("**/*.md"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as its readers make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_every_page_and_heading_that_is_linked_exists(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        generated = target == "commands.md" and page.parent == ROOT / "docs"
        assert generated or there.exists(), target
        if anchor and not generated:
            assert anchor in anchors(there), (target, anchor)


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each seqprof command within the page's sentences and tables."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for written in re.findall(r"`seqprof ([^`]+)`", text):
        words = shlex.split(re.sub(r"\s+", " ", written.replace("\\|", "|")))
        # In capitals, in brackets or left open, it stands for what the user has; the shell's own
        # syntax and seqprof's own options are not a command's.
        if not re.search(r"[\[…|<]|\b[A-Z]{2,}|--help|^-", written):
            yield cut(["seqprof", *words])


INLINE = [(page.name, words) for page in LINKED[:-1] for words in inline_commands(page)]


@pytest.mark.parametrize(("page", "words"), INLINE, ids=lambda of: str(of)[:60])
def test_every_command_in_a_sentence_parses(page: str, words: list[str]) -> None:
    try:
        command_of(page, words)
    except Exception as error:
        if type(error).__name__ != "MissingParameter":  # it names the command: `seqprof diff`
            raise
