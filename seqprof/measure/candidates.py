"""The candidates of a comparison: from what the user typed to one spec each. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from seqprof.errors import SeqprofError
from seqprof.measure.names import Named, look_up
from seqprof.spec import ModelSpec, Spec
from seqprof.spec_file import LoadedSpec, load_spec, load_spec_text
from seqprof.workloads.registry import Family, families

#: What a user's own model is not given, since its factory takes `kwargs`.
_BUILT_IN_KEYS = tuple(
    key for key in ModelSpec.model_fields if key not in ("name", "target", "kwargs", "head")
)
#: Without a base spec: short enough for an answer while one waits.
_DEFAULTS = "data: {seq_len: 128}\n"


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

    A word is what :func:`~seqprof.measure.names.look_up` takes. A name means the form that a user
    would write, fused where there is one, unless ``overrides`` say another. A YAML file is taken as
    it is; the others take everything but the model's name from ``base``, or from the defaults, and
    of ``overrides`` what means something to them.

    Args:
        words: the candidates.
        base: a YAML spec; None for the defaults (real text).
        overrides: ``a.b=value``, on top of every candidate.

    Raises:
        SeqprofError: a candidate does not exist, or its spec is wrong.
    """
    seen: dict[str, int] = {}
    contenders = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1  # the same against itself is a fair question
        label = word if seen[word] == 1 else f"{word}#{seen[word]}"
        loaded = _candidate(look_up(word), base, overrides)
        contenders.append(Contender(label, with_free_threads(loaded.spec), loaded.folder))
    return tuple(contenders)


def resolve_one(word: str, overrides: Sequence[str] = ()) -> Contender:
    """Turn one word into what `seqprof run` measures.

    As :func:`resolve`, but a name means the form whose timesteps can be seen, the cells where there
    are some, and what means nothing to the model is refused.

    Raises:
        SeqprofError: it stands for nothing, its spec is wrong, or an override contradicts the form
            that the word names.
    """
    named = look_up(word)
    if named.path is not None:
        loaded = load_spec(named.path, overrides)
    elif named.family is None:
        loaded = load_spec_text(f"model: {{target: '{word}'}}\n{_DEFAULTS}", word, overrides)
    else:
        usual = "cell" if "cell" in named.family.executions else None
        form = named.form or usual
        spec = f"model: {{name: {named.family.name}{f', execution: {form}' if form else ''}}}\n"
        loaded = load_spec_text(spec + _DEFAULTS, word, overrides)
        if named.form and loaded.spec.model.execution != named.form:
            raise SeqprofError(
                f"--set model.execution={loaded.spec.model.execution} contradicts {word}",
                "give one of them",
            )
    return Contender(word, with_free_threads(loaded.spec), loaded.folder)


def _candidate(named: Named, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    if named.path is not None:
        return load_spec(named.path, overrides)
    if named.family is None:
        return _from_target(named.word, base, overrides)
    return _from_family(named, named.family, base, overrides)


def _from_target(word: str, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    own = [f"model.target={word}", "model.name=null"]
    own += [f"model.{key}=null" for key in _BUILT_IN_KEYS]
    return _load(f"model: {{target: '{word}'}}\n{_DEFAULTS}", word, base, [*overrides, *own])


def _from_family(
    named: Named, family: Family, base: Path | None, overrides: Sequence[str]
) -> LoadedSpec:
    own = [f"model.name={family.name}", "model.target=null", "model.kwargs=null"]
    # What only some families take is left out for the others, so that one base serves all.
    options = sorted(frozenset[str]().union(*(other.options for other in families().values())))
    own += [f"model.{option}=null" for option in options if option not in family.options]
    own += [] if family.own_options else ["model.options=null"]
    form = named.form or _form_of(family, overrides)
    if form:
        own.append(f"model.execution={form}")
    text = f"model: {{name: {family.name}}}\n{_DEFAULTS}"
    return _load(text, named.word, base, [*overrides, *own])


def _form_of(family: Family, overrides: Sequence[str]) -> str | None:
    """Return the form that an override wants, else the one that a user would write."""
    key = "model.execution="
    wanted = [text.removeprefix(key) for text in overrides if text.startswith(key)]
    if wanted and wanted[-1] in family.executions:
        return wanted[-1]
    return family.default_execution


def _load(text: str, name: str, base: Path | None, overrides: Sequence[str]) -> LoadedSpec:
    if base is not None:
        return load_spec(base, overrides)
    return load_spec_text(text, name, overrides)


def with_free_threads(spec: Spec) -> Spec:
    """Return the spec with ``measure.threads: free`` replaced by the number that is free now.

    It is counted once: all candidates get the same.
    """
    if spec.measure.threads != "free":
        return spec
    measure = spec.measure.model_copy(update={"threads": _free_threads()})
    return spec.model_copy(update={"measure": measure})


@cache
def _free_threads() -> int:
    from seqprof.samplers.host import free_cores  # psutil, which nothing else here needs

    return free_cores()


def at_point(spec: Spec, seq_len: int | None = None, batch_size: int | None = None) -> Spec:
    """Return ``spec`` with sequences and batches of this size.

    Raises:
        SeqprofError: its batches are the user's own, and of what size they are.
    """
    if spec.data.target is not None and (seq_len, batch_size) != (None, None):
        raise SeqprofError(
            f"--seq-len, --batch: the batches of {spec.data.target} are as long and as many as "
            "they come",
            "leave --seq-len and --batch out, or give the size to data.kwargs; `seqprof run` tells "
            "what a timestep costs from prefixes of them",
        )
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
        lengths = sorted({int(part) for part in text.split(",")})
        if lengths[0] < 1:
            raise ValueError
        return tuple(lengths)
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
