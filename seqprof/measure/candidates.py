"""The candidates of a comparison: from what the user typed to one spec each. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqprof.errors import SeqprofError
from seqprof.spec import ModelSpec, Spec
from seqprof.spec_file import LoadedSpec, load_spec, load_spec_text
from seqprof.suggest import did_you_mean
from seqprof.workloads.registry import Family, families

#: What a user's own model is not given, since its factory takes `kwargs`.
_BUILT_IN_KEYS = tuple(
    key for key in ModelSpec.model_fields if key not in ("name", "target", "kwargs", "head")
)
#: Without a base spec: short enough for an answer while one waits.
_DEFAULTS = "data: {seq_len: 128}\n"
_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Contender:
    """One candidate.

    Attributes:
        label: as the user gave it; unique.
        spec: what is trained.
        folder: where the spec's relative paths and targets are looked for.
    """

    label: str
    spec: Spec
    folder: Path


def resolve(
    words: Sequence[str], base: Path | None, overrides: Sequence[str]
) -> tuple[Contender, ...]:
    """Turn words into candidates.

    A word is a registry name (``lstm``: the form that a user would write, fused where there is
    one), ``name@cell`` (or ``name:cell``), ``package.module:factory`` or a YAML file, which is
    taken as it is. The others take everything but the model's name from ``base``, or from the
    defaults.

    Args:
        words: the candidates.
        base: a YAML spec; None for the defaults (real text).
        overrides: ``a.b=value``, on top of every candidate.

    Raises:
        SeqprofError: a candidate does not exist, is named twice, or its spec is wrong.
    """
    doubled = next((word for word in words if words.count(word) > 1), None)
    labels = list(words)
    if doubled is not None:  # the same against itself is a fair question
        seen: dict[str, int] = {}
        for index, word in enumerate(words):
            seen[word] = seen.get(word, 0) + 1
            labels[index] = word if seen[word] == 1 else f"{word}#{seen[word]}"
    return tuple(
        _contender(label, word, base, overrides) for label, word in zip(labels, words, strict=True)
    )


def _contender(label: str, word: str, base: Path | None, overrides: Sequence[str]) -> Contender:
    if word.endswith(_YAML) or Path(word).is_file():
        loaded = load_spec(word, overrides)
    elif ":" in word and not _is_form(word):
        loaded = _from_target(word, base, overrides)
    else:
        loaded = _from_name(word.replace(":", "@"), base, overrides)
    return Contender(label, loaded.spec, loaded.folder)


def _is_form(word: str) -> bool:
    """Whether ``lstm:cell`` stands for ``lstm@cell``: any other ``lstm:…`` is the user's own."""
    name, _, form = word.partition(":")
    return name in families() and form in families()[name].executions


def _from_target(word: str, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    own = [f"model.target={word}", "model.name=null"]
    own += [f"model.{key}=null" for key in _BUILT_IN_KEYS]
    return _load(f"model: {{target: '{word}'}}\n{_DEFAULTS}", word, base, [*overrides, *own])


def _from_name(word: str, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    name, at, execution = word.partition("@")
    known = families()
    if name not in known:
        raise SeqprofError(
            f"unknown candidate '{word}'{did_you_mean(name, known)}",
            "a candidate is a name of `seqprof list`, name@cell, a YAML file or "
            "package.module:factory",
        )
    family = known[name]
    if at and execution not in family.executions:
        forms = " or ".join(f"{name}@{form}" for form in family.executions) or name
        raise SeqprofError(f"unknown candidate '{word}': there is {forms}")
    own = [f"model.name={name}", "model.target=null", "model.kwargs=null"]
    # What only some families take is left out for the others, so that one base serves all.
    options = sorted(frozenset[str]().union(*(other.options for other in known.values())))
    own += [f"model.{option}=null" for option in options if option not in family.options]
    if family.executions:
        own.append(f"model.execution={execution or _usual(family)}")
    return _load(f"model: {{name: {name}}}\n{_DEFAULTS}", word, base, [*overrides, *own])


def _usual(family: Family) -> str:
    """Return the form that a user would write."""
    return "fused" if "fused" in family.executions else family.executions[0]


def _load(text: str, name: str, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    if base is not None:
        return load_spec(base, overrides)
    return load_spec_text(text, name, overrides)


def at_point(spec: Spec, seq_len: int | None = None, batch_size: int | None = None) -> Spec:
    """Return ``spec`` with sequences and batches of this size."""
    sizes = {"seq_len": seq_len, "batch_size": batch_size}
    data = spec.data.model_copy(update={k: v for k, v in sizes.items() if v is not None})
    return spec.model_copy(update={"data": data})


def with_width(spec: Spec, hidden_size: int) -> Spec:
    """Return ``spec`` with this hidden size."""
    return spec.model_copy(
        update={"model": spec.model.model_copy(update={"hidden_size": hidden_size})}
    )


def parse_sizes(text: str, option: str) -> tuple[int, ...]:
    """Return the sizes of ``64:4096`` (doublings) or ``64,256,1024``, ascending.

    Raises:
        SeqprofError: it is neither, or a size is below 1.
    """
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            if not 0 < first <= last:
                raise ValueError
            sizes = [first]
            while sizes[-1] * 2 <= last:
                sizes.append(sizes[-1] * 2)
            return tuple(sizes)
        found = sorted({int(part) for part in text.split(",")})
        if found[0] < 1:
            raise ValueError
        return tuple(found)
    except ValueError:
        raise SeqprofError(
            f"{option} {text}: expected a range of doublings, as 64:4096, or a list, as 64,256,1024"
        ) from None


def parse_duration(text: str, option: str) -> float:
    """Return the seconds of ``60``, ``60s`` or ``5m``.

    Raises:
        SeqprofError: it is none of them, or not positive.
    """
    units = {"s": 1.0, "m": 60.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise SeqprofError(f"{option} {text}: expected a time, as 60s or 5m")
    return seconds
