"""A commented spec to start from, written from the spec's own fields. Without torch."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from seqprof.measure.names import Named
from seqprof.spec import ModelSpec, Spec
from seqprof.workloads.family_checks import LIBRARY_SIZES
from seqprof.workloads.registry import Family, families

_WIDTH = 96
_HEADER = """\
# A spec for seqprof. Lines that begin with `#` and a key show what holds if the key is absent.
#   seqprof run THIS.yaml
#   seqprof run THIS.yaml --set data.seq_len=1024
# `seqprof schema spec > spec.schema.json` lets an editor complete keys and underline mistakes.
"""
#: What the model must say besides its name, where the defaults do not do.
_REQUIRED: dict[str, dict[str, Any]] = {
    "transformers": {"config": {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2}}
}


def template(named: Named) -> str:
    """Return the text of a spec for a family or for the user's own factory."""
    lines = [_HEADER.rstrip(), ""]
    given = _given(named)
    for section, field in Spec.model_fields.items():
        lines += ["", f"# {field.description}"] if lines[-1] else [f"# {field.description}"]
        lines += [f"{section}:", *_section(field.annotation, given.get(section, {}), named, "  ")]
    return "\n".join(lines) + "\n"


def _given(named: Named) -> dict[str, dict[str, Any]]:
    """Return what is written out, by section: what a user changes first."""
    data = {"seq_len": 128, "batch_size": 16}
    if named.family is None:
        return {"model": {"target": named.word, "kwargs": {}}, "data": data}
    model: dict[str, Any] = {"name": named.family.name}
    required = _REQUIRED.get(named.family.name)
    if named.family.executions:
        cell = "cell" if "cell" in named.family.executions else named.family.default_execution
        model["execution"] = named.form or cell
    model |= required or {"hidden_size": 256}
    return {"model": model, "data": data}


def _section(part: Any, given: Mapping[str, Any], named: Named, indent: str) -> Iterator[str]:
    """Yield a section's lines: the given keys first, then the others as comments."""
    keys = [*given, *(key for key in part.model_fields if key not in given)]
    for key in keys:
        field: FieldInfo = part.model_fields[key]
        if part is ModelSpec and not _means_something(key, named):
            continue
        if _is_section(field.annotation):
            yield f"{indent}# {key}:"
            for line in _section(field.annotation, {}, named, ""):
                yield f"{indent}#   {line.removeprefix('# ')}"
            continue
        value = given.get(key, field.get_default(call_default_factory=True))
        mark = "" if key in given else "# "
        meaning = field.description or ""
        if part is ModelSpec and key == "execution" and named.family is not None:
            meaning = f"one of {', '.join(named.family.executions)}. {meaning}"
        yield from _entry(f"{indent}{mark}{key}: {_yaml(value)}", meaning, indent)


def _entry(line: str, description: str, indent: str) -> list[str]:
    """Return the key with what it means beside it, or above it where that is long."""
    beside = f"{line.ljust(30)} # {description}"
    if len(beside) <= _WIDTH:
        return [beside]
    above = textwrap.wrap(
        description, _WIDTH, initial_indent=f"{indent}## ", subsequent_indent=f"{indent}## "
    )
    return [*above, line]


def _means_something(key: str, named: Named) -> bool:
    if named.family is None:
        return key in ("target", "kwargs", "head")
    if key in ("target", "kwargs"):
        return False
    if key == "options":
        return bool(named.family.own_options)
    if "config" in named.family.options and key in LIBRARY_SIZES:
        return False
    optional = frozenset[str]().union(*(family.options for family in families().values()))
    return key not in optional or key in _options(named.family)


def _options(family: Family) -> frozenset[str]:
    return family.options if family.executions else family.options - {"execution"}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _yaml(value: Any) -> str:
    """Return a value in YAML on one line; JSON is YAML but for what it says of text."""
    if isinstance(value, str):
        return yaml.safe_dump(value, width=1000).splitlines()[0]
    if isinstance(value, dict) and value:
        return "{" + ", ".join(f"{key}: {_yaml(part)}" for key, part in value.items()) + "}"
    return json.dumps(value)


def of_sample(path: Path) -> str:
    """Return the text of a spec's file, without the line that names a schema beside it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("# yaml-language-server:"))


def needed_files(text: str, path: Path) -> tuple[Path, ...]:
    """Return the files beside the spec ``path`` that it names: its data, its targets' modules."""
    words = re.findall(r"^\s*(?:path|target|loss|step): *([\w./-]+)", text, re.MULTILINE)
    names = [word if Path(word).suffix else f"{word}.py" for word in words]
    beside = (path.parent / name for name in dict.fromkeys(names))
    return tuple(file for file in beside if file.is_file())
