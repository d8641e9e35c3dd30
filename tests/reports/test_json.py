"""One envelope for every kind of result: the same head, a schema that holds, and a way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import seqprof
from format_results import small
from jsonschema import Draft202012Validator

from seqprof import __version__
from seqprof.recording import SCHEMA_VERSION
from seqprof.reports import formats
from seqprof.reports.formats import EVERY_KIND
from seqprof.reports.stored import read

KINDS = sorted(EVERY_KIND)
HEAD = ["schema_version", "kind", "seqprof", "created", "about"]


def written(kind: str, folder: Path) -> Path:
    path = folder / f"kept-{kind}.json"
    path.write_bytes(formats.load("json").render([small(kind, folder)]))
    return path


def changed(path: Path, drop: tuple[str, ...] = (), **values: Any) -> Path:
    plain = {**json.loads(path.read_bytes()), **values}
    path.write_text(json.dumps({key: value for key, value in plain.items() if key not in drop}))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_begins_alike(kind: str, tmp_path: Path) -> None:
    plain = json.loads(written(kind, tmp_path).read_bytes())
    assert list(plain)[: len(HEAD)] == HEAD
    assert (plain["schema_version"], plain["kind"]) == (SCHEMA_VERSION, kind)
    assert plain["seqprof"] == __version__
    assert plain["created"]
    assert plain["about"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_holds_and_refuses_another_kind(kind: str, tmp_path: Path) -> None:
    plain = json.loads(written(kind, tmp_path).read_bytes())
    shown = seqprof("schema", kind)
    assert (shown.returncode, shown.stderr) == (0, "")
    schema = json.loads(shown.stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate(plain)
    assert not validator.is_valid({**plain, "kind": "another"})
    assert not validator.is_valid({**plain, "more": 1})
    assert not validator.is_valid({key: plain[key] for key in plain if key != "created"})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_back_is_written_and_shown_alike(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    again, first = read(path)[0], small(kind, tmp_path)
    assert json.loads(formats.load("json").render([again])) == json.loads(path.read_bytes())
    full = formats.load("table")
    named = replace(again, name=first.name)
    assert formats.render(full, [named]) == formats.render(full, [first])


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_one_and_a_damaged_one_are_one_message(kind: str, tmp_path: Path) -> None:
    newer = seqprof("show", changed(written(kind, tmp_path), schema_version=SCHEMA_VERSION + 1))
    assert (newer.returncode, newer.stderr.count("\n")) == (2, 2)
    assert "newer seqprof" in newer.stderr
    bodies = ("recording", "models", "traces", "ranks", "differences", "history", "explained")
    damaged = seqprof("show", changed(written(kind, tmp_path), drop=bodies))
    assert damaged.returncode == 2
    assert "Traceback" not in damaged.stderr


def test_differences_and_ranks_of_an_older_seqprof_are_read(tmp_path: Path) -> None:
    """They had a version of their own name, and said no kind."""
    for kind in ("diff", "ranks", "history"):
        older = changed(written(kind, tmp_path), drop=(*HEAD, "rows", "keys"), diff_version=2)
        (result,) = read(older)
        assert (result.kind, result.created) == (kind, None)
        assert result.rows()


def test_a_result_that_is_no_recording_says_what_it_is(tmp_path: Path) -> None:
    path = written("depth", tmp_path)
    done = seqprof("diff", path, path)
    assert done.returncode == 2
    assert f"{path} is a result of `seqprof depth`, not a recording" in done.stderr
    assert f"`seqprof show {path}`" in done.stderr


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (None, ("explained", "candidates")),
        ([], ("explained", "candidates")),
        ("x", ("explained", "base")),
        (-1.0, ("explained", "budget_s")),
        (None, ("explained", "assumptions")),
        ([[0.0, "late"]], ("explained", "cascade", "forward_s")),
        ([[0.0, 0.1]], ("explained", "cascade", "forward_s")),
        ([], ("explained", "cascade", "gradient_s")),
        ([0.0], ("explained", "reachable", "seconds")),
        ([[999]], ("explained", "candidates", 0, "first", "sources")),
        ([["0"]], ("explained", "candidates", 0, "first", "sources")),
        (0, ("explained", "candidates", 0, "influence", "timesteps")),
        ([], ("explained", "candidates", 0, "depth", "recorded", "points")),
        (1e300, ("scaling", "recording", "trials", 0, "steps", 0, "wall_s")),
        ([], ("scaling", "recording", "trials")),
        ([], ("run", "recording", "trials")),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_a_damaged_explanation_is_one_message_or_shown(
    change: object, path: tuple[str | int, ...], tmp_path: Path
) -> None:
    file = written("explain", tmp_path)
    document = part = json.loads(file.read_bytes())
    for key in path[:-1]:
        part = part[key]
    assert part[path[-1]] != change
    part[path[-1]] = change
    file.write_text(json.dumps(document))
    for output in ("page.html", "page.md"):
        done = seqprof("show", file, "-o", tmp_path / output)
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr) < 1_000
        assert (tmp_path / output).exists() == (done.returncode == 0)
