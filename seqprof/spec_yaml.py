"""YAML → plain data, remembering where every key and value stands.

The safe loader, with four differences:

- scalars are read as YAML 1.2 does: ``1e-3``, ``1E5`` and ``.5`` are numbers; ``yes``, ``on`` and
  ``2026-11-22`` are text; ``010`` is ten;
- duplicate keys are refused;
- ``.nan``, ``.inf`` and numbers too large for a float are refused: no spec has a use for them, and
  JSON cannot hold them;
- nesting, and what aliases expand to, is limited, so that no file can exhaust the memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 40
MAX_VALUES = 20_000
MAX_DIGITS = 300

_TAG = "tag:yaml.org,2002:"
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as PyYAML counts lines
_SURROGATE = re.compile("[\ud800-\udfff]")

#: Parts of PyYAML's messages that a newcomer would not understand, and what they mean.
_PLAIN_WORDS = (
    (r"found character '\t'", "a tab; YAML is indented with spaces"),
    (
        "mapping values are not allowed",
        "a ':' too many, or wrong indentation; a value with ': ' inside needs quotes",
    ),
    ("could not find expected ':'", "a key without its ':'"),
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("expected the node content", "a value is missing or misplaced here"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("but found another document", "a second document; a spec is a single one"),
)

Path = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A piece of YAML: a file's text, or the value of one ``--set``."""

    name: str
    text: str
    is_file: bool = True

    @property
    def lines(self) -> list[str]:
        return _LINE_BREAK.split(self.text)

    def place(self, index: int) -> Position:
        """Return the place of the character at ``index``."""
        before = _LINE_BREAK.split(self.text[:index])
        return Position(self, len(before) - 1, len(before[-1]))


@dataclass(frozen=True, slots=True)
class Position:
    """Where something stands; line and column count from 0."""

    source: YamlSource
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and at which path of the spec."""

    place: Position
    message: str
    path: Path = ()


class YamlError(Exception):
    """The text is not YAML, so nothing in it can be looked at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class Tree:
    """Plain data with the places of its keys and values, and what was wrong in it."""

    data: Any = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 scalars and limited depth. Only composes nodes."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


# The core schema of YAML 1.2.2, section 10.3.2, and the merge key of 1.1.
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})\\Z"), _first)


def parse(source: YamlSource, prefix: Path = ()) -> Tree:
    """Read ``source``; its paths begin with ``prefix``. Empty text gives ``None``.

    Raises:
        YamlError: it is not YAML.
    """
    unprintable = _Loader.NON_PRINTABLE.search(source.text)
    if unprintable:
        code = f"U+{ord(unprintable.group()):04X}"
        message = f"the character {code} is not allowed in YAML"
        raise YamlError(Problem(source.place(unprintable.start()), message, prefix))
    reader = _Reader(source)
    node = _compose(source, prefix)
    if node is not None:
        reader.tree.data = reader.read(node, prefix)
    reader.tree.values.setdefault(prefix, Position(source))
    return reader.tree


def _compose(source: YamlSource, prefix: Path) -> Node | None:
    loader = _Loader(source.text)
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        message = f"not valid YAML: {_in_plain_words(error)}"
    except (ValueError, OverflowError):  # escapes and directives with absurd numbers
        mark, message = loader.get_mark(), "not valid YAML: a number here is out of range"
    raise YamlError(Problem(Position(source, mark.line, mark.column), message, prefix))


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    for part, words in _PLAIN_WORDS:
        if part in problem:
            return words
    return problem


@dataclass(slots=True)
class _Reader:
    """Turns nodes into data. Aliases become copies, so that ``--set`` changes one place only."""

    source: YamlSource
    tree: Tree = field(default_factory=Tree)
    open_nodes: set[int] = field(default_factory=set)
    count: int = 0
    exhausted: bool = False

    def read(self, node: Node, path: Path) -> Any:
        """Return the data of ``node``; what is wrong in it is noted and becomes ``None``."""
        self.tree.values[path] = self._place(node)
        self.count += 1
        if self.count > MAX_VALUES or len(self.open_nodes) > MAX_DEPTH:
            if not self.exhausted:
                self._wrong(node, path, "this expands to far more than a spec can need")
            self.exhausted = True
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open_nodes:
            return self._wrong(node, path, "an alias stands for something that contains it")
        self.open_nodes.add(id(node))
        try:
            return self._collection(node, path)
        finally:
            self.open_nodes.remove(id(node))

    def _collection(self, node: Node, path: Path) -> Any:
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._wrong(node, path, f"the tag {_short(node.tag)} has no meaning here")

    def _mapping(self, node: MappingNode, path: Path) -> dict[Hashable, Any]:
        data: dict[Hashable, Any] = {}
        for part in reversed(list(self._merged(node, path))):
            data.update(self.read(part, path) or {})
        self.tree.values[path] = self._place(node)
        first: dict[tuple[type, Hashable], Position] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            place = self._place(key_node)
            earlier = first.setdefault((type(key), key), place)
            if earlier is not place:
                where = f"line {earlier.line + 1}, column {earlier.column + 1}"
                message = f"the key '{_short(key_node.value)}' stands here twice; first at {where}"
                self._wrong(key_node, (*path, key), message)
                continue
            self.tree.keys[(*path, key)] = place
            data[key] = self.read(value_node, (*path, key))
        return data

    def _merged(self, node: MappingNode, path: Path) -> Iterator[Node]:
        """Yield the mappings that ``<<`` brings in, the one that counts most first."""
        for key_node, value_node in node.value:
            if key_node.tag != _TAG + "merge":
                continue
            several = isinstance(value_node, SequenceNode)
            for part in value_node.value if several else [value_node]:
                if isinstance(part, MappingNode):
                    yield part
                else:
                    self._wrong(part, path, "'<<' takes a mapping, or a list of mappings")

    def _key(self, node: Node, path: Path) -> Hashable | None:
        """Return the key that ``node`` spells; None, and a problem noted, when it is none."""
        problems = len(self.tree.problems)
        key = self._scalar(node, path) if isinstance(node, ScalarNode) else None
        if key is None and len(self.tree.problems) == problems:
            self._wrong(node, path, "a key must be a word")
        return key

    def _scalar(self, node: ScalarNode, path: Path) -> str | int | float | bool | None:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        try:
            if kind == "str":
                return self._text(node, path)
            if kind == "int":
                return self._whole_number(node, path)
            if kind == "float":
                return self._number(node, path)
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "null":
                return None
        except (ValueError, KeyError):
            self._wrong(node, path, f"'{_short(text)}' is no {kind}")
            return None
        self._wrong(node, path, f"the tag {_short(node.tag)} has no meaning here")
        return None

    def _text(self, node: ScalarNode, path: Path) -> str | None:
        if _SURROGATE.search(node.value):
            self._wrong(node, path, "a lone surrogate is not text")
            return None
        text: str = node.value
        return text

    def _whole_number(self, node: ScalarNode, path: Path) -> int | None:
        text: str = node.value
        if len(text) > MAX_DIGITS:
            self._wrong(node, path, f"a number of {len(text)} digits is too large")
            return None
        # As YAML 1.2 has it, 010 is ten and 0o10 eight.
        base = {"0x": 16, "0o": 8}.get(text[:2].lower(), 10)
        return int(text, base)

    def _number(self, node: ScalarNode, path: Path) -> float | None:
        number = float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            self._wrong(node, path, f"expected a finite number, got {_short(node.value)}")
            return None
        return number

    def _wrong(self, node: Node, path: Path, message: str) -> None:
        self.tree.problems.append(Problem(self._place(node), message, path))

    def _place(self, node: Node) -> Position:
        return Position(self.source, node.start_mark.line, node.start_mark.column)


def _short(text: str) -> str:
    text = text.removeprefix(_TAG)
    return text if len(text) <= 40 else text[:39] + "…"
