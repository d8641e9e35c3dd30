"""Problems of a spec in words: what was expected, and every problem below its line of source."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqprof.spec import LARGEST, json_schema
from seqprof.spec_yaml import Path, Position, Problem
from seqprof.suggest import nearest

WIDTH = 80
MAX_SHOWN = 20

_YAML_1_1_BOOLEANS = ("yes", "no", "on", "off", "y", "n")
_NOTHING = {"type": "null"}
#: A message about one key, which may follow the name of a candidate.
_ABOUT_A_KEY = re.compile(
    r"(?:(?P<label>[^\n]+?): )?(?P<key>(?:model|data|train|measure)(?:\.\w+)+): "
)


def describe(value: object) -> str:
    """Return ``value`` as an error message names it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{_cut(value)}'"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return _cut(str(value))


def expectation(path: Path, value: object) -> str:
    """Return ``expected …, got …`` for the wrong ``value`` at ``path``, from the JSON Schema."""
    advice = _advice(_choices(_schema_at(path)), value)
    return f"expected {wanted(path, value)}, got {describe(value)}{advice}"


def wanted(path: Path, value: object = None) -> str:
    """Return what may stand at ``path``, in words; ``value`` is what stands there instead."""
    return " or ".join(_wanted(choice, value) for choice in _choices(_schema_at(path)))


def report(name: str, problems: Sequence[Problem]) -> str:
    """Return all ``problems`` of the spec ``name``, in the order of their places."""
    ordered = sorted(problems, key=_order)
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    parts = [f"{count} in {name}", *(_block(problem) for problem in ordered[:MAX_SHOWN])]
    if len(ordered) > MAX_SHOWN:
        parts.append(f"… and {len(ordered) - MAX_SHOWN} more")
    return "\n".join(parts)


def placed(message: str, places: Iterable[tuple[Path, Position]]) -> str:
    """Put before a message about one key, found when it was used, where that key stands.

    Args:
        message: ``data.path: …``, or the same after the name of a candidate.
        places: of all values that files and ``--set`` have given.
    """
    about = _ABOUT_A_KEY.match(message)
    if about is None:
        return message
    path: Path = tuple(about["key"].split("."))
    given = {place for key, place in places if key == path}
    if about["label"]:
        given = {p for p in given if p.source.name.endswith(about["label"])} or given
    if len(given) != 1:
        return message
    place = given.pop()
    message = message[about.start("key") :]
    return "\n".join([f"{_where(place)}: {message}", *_excerpt(place)])


def _order(problem: Problem) -> tuple[bool, int, int]:
    return (not problem.place.source.is_file, problem.place.line, problem.place.column)


def _schema_at(path: Path) -> dict[str, Any]:
    """Return the part of the JSON Schema that describes ``path``."""
    root = json_schema()
    node: dict[str, Any] = root
    for part in path:
        node = _resolved(root, node)
        if isinstance(part, int):
            lists = [c for c in _choices(node) if c.get("type") == "array"]
            node = lists[0]["items"]
        else:
            node = node["properties"][part]
    return _resolved(root, node)


def _resolved(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _choices(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of ``node``, without the one that stands for a missing key."""
    examples = {"examples": node["examples"]} if "examples" in node else {}
    return [{**examples, **c} for c in node.get("anyOf", [node]) if c != _NOTHING]


def _wanted(choice: dict[str, Any], value: object) -> str:
    words = _options(choice)
    if words:
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    kind = choice.get("type")
    if kind == "integer":
        return "a whole number" + _bounds(choice, value)
    if kind == "number":
        return "a number" + _bounds(choice, value)
    examples = choice.get("examples", [])
    if kind == "string":
        return f"text such as {', '.join(map(repr, examples))}" if examples else "text"
    if kind == "array":
        return f"a list such as [{', '.join(examples[0])}]" if examples else "a list"
    return {"boolean": "true or false", "object": "a mapping"}[str(kind)]


def _options(choice: dict[str, Any]) -> list[str]:
    return [str(option) for option in choice.get("enum", [choice.get("const")]) if option]


def _bounds(choice: dict[str, Any], value: object) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = []
    for name, sign in signs.items():
        limit = choice.get(name)
        # The largest size there can be is worth a word only to who went beyond it.
        if limit is None or (limit == LARGEST and not (isinstance(value, int) and value > limit)):
            continue
        bounds.append(f" {sign} {limit:g}" if limit != LARGEST else f" {sign} {limit}")
    return " and".join(bounds)


def _advice(choices: list[dict[str, Any]], value: object) -> str:
    kinds = {choice.get("type") for choice in choices}
    options = [option for choice in choices for option in _options(choice)]
    if isinstance(value, str):
        near = nearest(value, options)
        if near:
            return f"; did you mean '{near}'?"
        if kinds & {"integer", "number"} and re.fullmatch(r"[-+]?\d+(\.\d*)?", value):
            return "; leave out the quotes"
        if "boolean" in kinds and value.lower() in _YAML_1_1_BOOLEANS:
            return "; in YAML 1.2 only true and false are"
    elif isinstance(value, bool | int | float) and kinds == {"string"} and not options:
        return "; put it in quotes if it is meant"
    return ""


def _block(problem: Problem) -> str:
    """Return one problem: place and message, then the line of source and a caret."""
    place = problem.place
    return "\n".join([_wrapped(_where(place), problem.message), *_excerpt(place)])


def _where(place: Position) -> str:
    if not place.source.is_file:
        return _cut(place.source.name, 60)
    return f"{place.source.name}:{place.line + 1}:{place.column + 1}"


def _wrapped(where: str, message: str) -> str:
    """Return ``where: message`` in lines of at most 80 columns; ``where`` stays in one piece."""
    message = re.sub(r"\S{60,}", lambda word: _cut(word.group()), message)
    whole = f"{where.replace(' ', chr(0))}: {message}"
    lines = textwrap.wrap(
        whole, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace(chr(0), " ")


def _excerpt(place: Position) -> list[str]:
    lines = place.source.lines
    if not place.source.is_file or place.line >= len(lines):  # the end of the file
        return []
    line = "".join(_printable(c) for c in lines[place.line])
    before = line[: place.column]
    # A long line is cut on the left until the caret is in sight.
    hidden = max(0, len(before) - WIDTH // 2) if _columns(line) > WIDTH - 4 else 0
    start = "…" if hidden else ""
    shown = start + line[hidden:]
    while _columns(shown) > WIDTH - 4:
        shown = shown[: (WIDTH - 4) // 2] if _columns(shown) > 2 * WIDTH else shown[:-1]
    caret = " " * _columns(start + before[hidden:]) + "^"
    return [f"  {shown}".rstrip(), f"  {caret}"]


def _printable(character: str) -> str:
    if character == "\t":
        return "→"
    return character if character.isprintable() else "�"


def _columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    narrow = sum(not unicodedata.combining(c) for c in text)
    return narrow + sum(unicodedata.east_asian_width(c) in "WF" for c in text)


def _cut(text: str, length: int = 40) -> str:
    text = "".join(_printable(c) for c in text)
    return text if len(text) <= length else text[: length - 1] + "…"
