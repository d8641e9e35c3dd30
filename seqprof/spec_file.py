"""A YAML file, and ``--set`` on top of it → a :class:`~seqprof.spec.Spec`, or one error.

The error lists every problem with its place, so that a spec is put right in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from seqprof.errors import SeqprofError
from seqprof.file_kinds import better_use
from seqprof.spec import Spec
from seqprof.spec_checks import conflicts
from seqprof.spec_problems import describe, expectation, placed, report
from seqprof.spec_yaml import Path as KeyPath
from seqprof.spec_yaml import Position, Problem, Tree, YamlError, YamlSource, parse
from seqprof.suggest import nearest, nearest_file

#: A spec is a page of text. More than this is some other file.
MAX_BYTES = 256 * 1024

#: Every value that a file or ``--set`` gave, and where.
_given: set[tuple[KeyPath, Position]] = set()
_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A valid spec and where it came from.

    Attributes:
        spec: every value checked.
        path: the file, as it was given.
        folder: what relative paths in the spec, and its targets, are looked up from.
    """

    spec: Spec
    path: Path
    folder: Path


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Read the spec in ``path`` and put ``overrides`` on top of it.

    Args:
        path: a YAML file.
        overrides: ``a.b=value``, the value in YAML; ``null`` puts the default back. The last one
            counts.

    Raises:
        SeqprofError: the file cannot be read or the spec is wrong; every problem is in the
            message, as ``file:line:column: …`` or ``--set a.b=value: …``.
    """
    path = Path(path)
    other = better_use(path, "spec")
    if other is not None:
        raise SeqprofError(f"{path} is not a spec", other)
    return _load(path, _read(path), overrides)


def load_spec_text(text: str, name: str, overrides: Sequence[str] = ()) -> LoadedSpec:
    """Take a spec from YAML ``text``, called ``name`` in errors; the folder is the current one.

    Raises:
        SeqprofError: as :func:`load_spec`.
    """
    return _load(Path(name), YamlSource(name, text, is_file=False), overrides)


def _load(path: Path, source: YamlSource, overrides: Sequence[str]) -> LoadedSpec:
    name = str(path)
    try:
        tree = parse(source)
    except YamlError as error:
        raise SeqprofError(report(name, [error.problem])) from None
    if not isinstance(tree.data, dict):
        if not tree.problems:
            tree.problems.append(_not_a_spec(tree))
        raise SeqprofError(report(name, tree.problems))
    for override in overrides:
        _override(tree, override)
    spec = _validated(tree)
    if tree.problems:
        raise SeqprofError(report(name, tree.problems))
    _given.update((path, place) for path, place in tree.values.items() if _is_of_a_user(place))
    return LoadedSpec(spec, path, path.parent)


def with_place(message: str) -> str:
    """Put the place of a key before a message about it: what is wrong may show only in its use.

    The places are those of the specs that were read since it was last asked.
    """
    places = tuple(_given)
    _given.clear()
    return placed(message, places)


def _is_of_a_user(place: Position) -> bool:
    return place.source.is_file or place.source.name.startswith("--set ")


# Reading the file.


def _read(path: Path) -> YamlSource:
    """Return the text of ``path``, without a byte order mark."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _no_such_file(path) from None
    except IsADirectoryError:
        hint = _specs_in(path) or "give the YAML file of a spec"
        raise SeqprofError(f"{path} is a folder, not a spec", hint) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise SeqprofError(f"{path} cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise SeqprofError(f"{path} is larger than {MAX_BYTES // 1024} KiB; it cannot be a spec")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return YamlSource(str(path), raw.decode())
    except UnicodeDecodeError as error:
        source = YamlSource(str(path), raw.decode(errors="replace"))
        start = len(raw[: error.start].decode(errors="replace"))
        message = f"the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        if raw.startswith(_OTHER_ENCODINGS):
            message = "this is not UTF-8 but UTF-16 or UTF-32; save the file as UTF-8"
        problem = Problem(source.place(start), message)
        raise SeqprofError(report(str(path), [problem])) from None


def _no_such_file(path: Path) -> SeqprofError:
    folder = path.parent
    if not folder.is_dir():
        return SeqprofError(f"there is no folder {folder}, so no spec {path}")
    names = _names_in(folder)
    # `lstm` for `lstm.yaml` is what is meant most often, so whole stems are tried first.
    stems = [n for n in names if n in (f"{path.name}.yaml", f"{path.name}.yml")]
    near = folder / stems[0] if stems else nearest_file(path, ".yaml", ".yml")
    hint = f"did you mean {near}?" if near else _specs_in(folder)
    return SeqprofError(f"there is no file {path}", hint or f"`seqprof init -o {path}` writes one")


def _specs_in(folder: Path) -> str | None:
    specs = [name for name in _names_in(folder) if name.endswith((".yaml", ".yml"))]
    more = " …" if len(specs) > 8 else ""
    return f"specs in {folder}: {', '.join(specs[:8])}{more}" if specs else None


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir() if file.is_file())
    except OSError:  # it may not be listed; then there is nothing to suggest
        return []


def _not_a_spec(tree: Tree) -> Problem:
    if tree.data is None:
        message = "there is nothing in it; a spec needs at least `model: {name: lstm}`"
    else:
        message = f"expected `model:`, `data:` …, got {describe(tree.data)}"
    return Problem(tree.values[()], message)


# --set a.b=value


def _override(tree: Tree, text: str) -> None:
    """Put one ``a.b=value`` into ``tree``, where its places are this override's."""
    key, equals, value = text.partition("=")
    path: KeyPath = tuple(part.strip() for part in key.split("."))
    source = YamlSource(f"--set {text}", value, is_file=False)
    if not equals or not all(path):
        message = "expected key=value, such as data.seq_len=128"
        tree.problems.append(Problem(Position(source), message))
        return
    try:
        new = parse(source, path)
    except YamlError as error:
        tree.problems.append(error.problem)
        return
    _forget(tree, path)
    data: dict[Any, Any] = tree.data
    for depth, part in enumerate(path[:-1], start=1):
        if not isinstance(data.get(part), dict):
            data[part] = {}
            tree.keys[path[:depth]] = tree.values[path[:depth]] = Position(source)
        data = data[part]
    if new.data is None:
        data.pop(path[-1], None)
        tree.problems += new.problems
        return
    data[path[-1]] = new.data
    tree.keys[path] = Position(source)
    tree.keys |= new.keys
    tree.values |= new.values
    tree.problems += new.problems


def _forget(tree: Tree, path: KeyPath) -> None:
    """Drop what was known about ``path`` and below: it is being replaced."""
    for places in (tree.keys, tree.values):
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]


# Checking.


def _validated(tree: Tree) -> Spec:
    """Return the spec; what is wrong is added to ``tree.problems`` and left out of the spec."""
    tree.data.setdefault("model", {})  # that it lacks a name is told once, by the checks
    _keep_known(tree, tree.data, Spec, ())
    tainted = {problem.path for problem in tree.problems}
    try:
        spec = Spec.model_validate(tree.data)
    except ValidationError as error:
        wrong = dict.fromkeys(_existing(tree, detail["loc"]) for detail in error.errors())
        for path in wrong:
            _report_value(tree, path, tainted)
        tainted |= {_drop(tree, path) for path in wrong}
        tree.data.setdefault("model", {})
        spec = Spec.model_validate(tree.data)
    for conflict in conflicts(spec):
        keys = [tuple(key.split(".")) for key in (conflict.at, *conflict.involves)]
        if not any(_within(key, bad) for key in keys for bad in tainted):
            place = _place(tree, tree.keys, keys[0])
            tree.problems.append(Problem(place, conflict.message, keys[0]))
    return spec


def _keep_known(tree: Tree, data: dict[Any, Any], part: type[BaseModel], path: KeyPath) -> None:
    """Report and drop unknown keys, and drop sections that hold nothing (``data:`` alone)."""
    for key in list(data):
        if key not in part.model_fields:
            del data[key]
            tree.problems.append(_unknown_key(tree, (*path, key), part))
            continue
        section = _section(part, key)
        if data[key] is None and (section or key in ("kwargs", "options")):
            del data[key]
        elif section and isinstance(data[key], dict):
            _keep_known(tree, data[key], section, (*path, key))
        elif key in ("kwargs", "options") and isinstance(data[key], dict):
            _keep_named(tree, data[key], (*path, key))


def _keep_named(tree: Tree, kwargs: dict[Any, Any], path: KeyPath) -> None:
    for key in [key for key in kwargs if not isinstance(key, str)]:
        del kwargs[key]
        message = f"an argument's name must be text, got {describe(key)}"
        tree.problems.append(Problem(tree.keys[(*path, key)], message, (*path, key)))


def _section(part: type[BaseModel], key: str) -> type[BaseModel] | None:
    annotation = part.model_fields[key].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _unknown_key(tree: Tree, path: KeyPath, part: type[BaseModel]) -> Problem:
    word = str(path[-1])
    where = ".".join(map(str, path[:-1]))
    near = nearest(word, part.model_fields)
    meant = path
    elsewhere = [p for p in _all_paths(Spec) if p[-1] == word]
    if elsewhere:
        advice = f"; it belongs to {'.'.join(elsewhere[0][:-1])}"
    elif near:
        advice = f"; did you mean '{near}'?"
        meant = (*path[:-1], near)
    else:
        advice = f"; known: {', '.join(part.model_fields)}"
    shown = word if len(word) <= 40 else word[:39] + "…"
    message = f"unknown key '{shown}'{f' in {where}' if where else ''}{advice}"
    # What the misspelled key was meant to say is missing now; no check may complain of that too.
    return Problem(_place(tree, tree.keys, path), message, meant)


def _all_paths(part: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every key of ``part``, sections and the keys in them."""
    paths = []
    for key in part.model_fields:
        section = _section(part, key)
        paths.append((*path, key))
        paths += _all_paths(section, (*path, key)) if section else []
    return paths


def _report_value(tree: Tree, path: KeyPath, tainted: set[KeyPath]) -> None:
    """Report the wrong value at ``path``, unless what is wrong with it is known already."""
    value: Any = tree.data
    for part in path:
        value = value[part]
    if not any(_within(path, bad) for bad in tainted):
        message = f"{'.'.join(map(str, path))}: {expectation(path, value)}"
        tree.problems.append(Problem(_place(tree, tree.values, path), message, path))


def _drop(tree: Tree, path: KeyPath) -> KeyPath:
    """Take the value at ``path`` out of the data, a list as a whole; return what is gone."""
    parent: dict[Any, Any] = tree.data
    for depth, key in enumerate(path, start=1):
        child = parent.get(key)
        if depth == len(path) or not isinstance(child, dict):
            parent.pop(key, None)
            return path[:depth]
        parent = child
    return path


def _existing(tree: Tree, location: tuple[int | str, ...]) -> KeyPath:
    """Return as much of pydantic's ``location`` as is in the data; it also names union members."""
    data = tree.data
    for depth, part in enumerate(location):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return location[:depth]
    return location


def _within(path: KeyPath, outer: KeyPath) -> bool:
    return bool(outer) and path[: len(outer)] == outer


def _place(tree: Tree, places: dict[KeyPath, Position], path: KeyPath) -> Position:
    """Return the place of ``path``, or of the innermost thing around it that stands somewhere."""
    for length in range(len(path), 0, -1):
        place = places.get(path[:length])
        if place is not None:
            return place
    return tree.values[()]
