"""What a word on the command line stands for, for every command. Without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from seqprof import shipped_configs
from seqprof.errors import SeqprofError
from seqprof.suggest import nearest, nearest_file
from seqprof.workloads.registry import Family, families

Kind: TypeAlias = Literal["spec", "family", "target"]
_YAML = (".yaml", ".yml")
_WHAT_WORKS = (
    "what works: a name of `seqprof list`, as lstm or lstm@cell; a sample of `seqprof list "
    "configs`, as @truncated_bptt; a YAML file; package.module:factory"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a word stands for.

    Attributes:
        word: as the user gave it.
        kind: a spec's file, a family of models, or the user's own factory.
        path: of the spec's file.
        family: the family.
        form: the execution that the word names, as in ``lstm@cell``; None where it names none.
    """

    word: str
    kind: Kind
    path: Path | None = None
    family: Family | None = None
    form: str | None = None


def look_up(word: str) -> Named:
    """Return what ``word`` stands for.

    It is the name of a family (``lstm``), of one of its forms (``lstm@cell`` or ``lstm:cell``), of
    a sample config (``@truncated_bptt``), a YAML file, or ``package.module:factory``.

    Raises:
        SeqprofError: it stands for nothing; the hint says what would.
    """
    if word.startswith(shipped_configs.PREFIX):
        return Named(word, "spec", path=shipped_configs.path_of(word[1:]))
    _refuse_python_file(word)
    if word.endswith(_YAML) or Path(word).is_file():
        _point_to_sample(Path(word))
        return Named(word, "spec", path=Path(word))
    family, form = _family_and_form(word)
    if family is not None:
        return Named(word, "family", family=family, form=form)
    if ":" in word:
        _refuse_form(word)
        return Named(word, "target")
    raise _unknown(word)


def _family_and_form(word: str) -> tuple[Family | None, str | None]:
    """Split ``lstm@cell``; ``lstm:cell`` means the same, any other ``lstm:…`` is the user's own."""
    known = families()
    name, at, form = word.partition("@")
    if name in known:
        family = known[name]
        if at and form not in family.executions:
            raise _no_form(family, form)
        return family, form or None
    name, _, form = word.partition(":")
    if name in known and form in known[name].executions:
        return known[name], form
    return None, None


def _no_form(family: Family, form: str) -> SeqprofError:
    there_is = " or ".join(f"{family.name}@{form}" for form in family.executions) or family.name
    return SeqprofError(
        f"{family.name} has no form {form!r}: there is {there_is}", "`seqprof list` describes them"
    )


def _refuse_form(word: str) -> None:
    """``lstm:cel`` is a mistyped form, unless there is a module of that name."""
    name, _, form = word.partition(":")
    family = families().get(name)
    near = None if family is None else nearest(form, family.executions)
    if family is not None and near and not Path(f"{name}.py").exists() and find_spec(name) is None:
        raise _no_form(family, form)


def _point_to_sample(path: Path) -> None:
    """A sample config is found by its name wherever one is, unless a file here is as near."""
    if path.exists():
        return
    near = nearest_file(path, *_YAML)
    if near is not None:
        raise SeqprofError(f"there is no file {path}", f"did you mean {near}?")
    if path.stem in shipped_configs.names():
        sample = shipped_configs.PREFIX + path.stem
        raise SeqprofError(f"there is no file {path}", f"{sample} is the sample config")


def _refuse_python_file(word: str) -> None:
    """A file's path is not the module's name, which ``package.module:factory`` needs."""
    path, _, factory = word.partition(":")
    if not path.endswith(".py"):
        return
    module = ".".join(part for part in Path(path.removesuffix(".py")).parts if part != "/")
    own = f"{module}:{factory or 'build'}"
    if not Path(path).is_file():
        raise SeqprofError(f"there is no file {path}", _instead_of_program(path, factory))
    if factory:
        raise SeqprofError(f"{word}: your own model is named as in `import`", f"give {own}")
    raise SeqprofError(
        f"{word} is a Python program, not a model",
        f"`seqprof exec -- python {path}` watches it train; a function in it that returns an "
        f"nn.Module is named {own}",
    )


def _instead_of_program(path: str, factory: str) -> str:
    """Say what to give instead of a Python file that is not there."""
    near = nearest_file(path, ".py")
    if near is None:
        return f"a script that trains: `seqprof exec -- python SCRIPT.py`; {_WHAT_WORKS}"
    if factory or near.parent != Path():
        return f"did you mean {near}?"
    return f"did you mean `seqprof exec -- python {near}`, or {near.stem}:build?"


def _unknown(word: str) -> SeqprofError:
    samples = [shipped_configs.PREFIX + name for name in shipped_configs.names()]
    if not word:
        return SeqprofError("a model's name is empty", _WHAT_WORKS)
    if "," in word:
        apart = " ".join(part.strip() for part in word.split(","))
        return SeqprofError(f"no model is called '{word}'", f"names stand apart: {apart}")
    if Path(word).is_dir():
        files = sorted(path.name for path in Path(word).iterdir() if path.suffix in _YAML)
        there = f"give one of its specs, as in {Path(word) / files[0]}" if files else None
        return SeqprofError(f"{word} is a folder, not a model", there or _WHAT_WORKS)
    module, dot, last = word.rpartition(".")
    if dot and module.isidentifier() and last.isidentifier() and _has_source(module):
        return _unknown_word(word, f"{module}:{last}")
    if _has_source(word):
        return _unknown_word(word, f"{word}:build, a function in it that returns an nn.Module")
    if shipped_configs.PREFIX + word in samples:
        return _unknown_word(word, f"{shipped_configs.PREFIX}{word}, the sample config")
    name, at, form = word.partition("@")
    near = nearest(name, [*families(), *samples, *_specs_here()])
    like = nearest(form, families()[near].executions) if at and near in families() else None
    meant = f"{near}@{like}" if like else near
    return _unknown_word(word, f"'{meant}'" if meant else None)


def _unknown_word(word: str, meant: str | None) -> SeqprofError:
    advice = f"; did you mean {meant}?" if meant else ""
    return SeqprofError(f"no model is called '{word}'{advice}", _WHAT_WORKS)


def _has_source(module: str) -> bool:
    """Whether there is a module of that name here, looked for without importing anything."""
    path = Path(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _specs_here() -> Iterable[str]:
    try:
        return [path.name for path in Path().iterdir() if path.suffix in _YAML]
    except OSError:
        return []
