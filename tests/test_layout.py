"""How the package is laid out: no circle of files, no crowd, no name twice.

The layers themselves are import contracts (pyproject.toml, `lint-imports`).
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "seqprof"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, MOST_FILES = 400, 25
#: Words that say what happened to a thing and not what it is.
VAGUE = {"told", "asked", "found", "kept"}
#: A field of stored documents.
OLD_NAMES = {("seqprof/analysis/depth/model_depth.py", "asked")}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


#: The session of a script and its parts name each other's types.
TYPES_ONLY = {
    ("seqprof.attach.callees", "seqprof.attach.session"),
    ("seqprof.attach.exploring.explorer", "seqprof.attach.session"),
    ("seqprof.attach.exploring.explorer", "seqprof.attach.callees"),
}
MODULES = {module(path): path for path in FILES}
#: What a user of Lightning and one of transformers hands over to the trainer.
SAME_NAME = {"SeqprofCallback"}


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever it does, for types too.

    The package itself, which has the version and names that it imports when they are used, is none.
    """
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            known = parts & MODULES.keys()
            names |= known if known == parts else known | {node.module}
    return {
        name
        for name in names & MODULES.keys()
        if name not in ("seqprof", module(path)) and (module(path), name) not in TYPES_ONLY
    }


def test_there_is_no_circle_of_files() -> None:
    graph = {name: imported(path) for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def test_a_circle_would_be_noticed() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    assert "seqprof.errors" in imported(PACKAGE / "store.py")


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lengths = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [name for name, length in lengths.items() if length > LONGEST_FILE] == []


def test_no_folder_has_more_files_than_can_be_seen_at_once() -> None:
    counts = Counter(place(path.parent) for path in FILES)
    assert [name for name, number in counts.items() if number > MOST_FILES] == []


def test_no_class_has_the_name_of_another() -> None:
    classes = Counter(
        node.name
        for path in FILES
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, number in classes.items() if number > 1} == SAME_NAME


def names_given(path: Path) -> set[str]:
    """Names of variables, parameters, fields, functions and classes that a file defines."""
    names = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
    return names


def test_names_say_what_they_hold() -> None:
    vague = {
        (place(path), name)
        for path in FILES
        for name in names_given(path)
        if name.strip("_") in VAGUE
    }
    assert vague == OLD_NAMES
