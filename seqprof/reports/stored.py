"""A file that any command wrote → results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from seqprof import store
from seqprof.analysis.derived import derived
from seqprof.document_door import damage_told, find_excess, read_document
from seqprof.errors import SeqprofError
from seqprof.reports.formats import Result, result_of
from seqprof.reports.kinds import KINDS, call


class _Outline(msgspec.Struct):
    """What tells documents apart: their kind, or in older ones what they hold."""

    schema_version: int = 0
    kind: str | None = None
    created: str | None = None
    recording: msgspec.Raw = msgspec.Raw()
    models: msgspec.Raw = msgspec.Raw()
    explained: msgspec.Raw = msgspec.Raw()
    traces: msgspec.Raw = msgspec.Raw()
    ranks: msgspec.Raw = msgspec.Raw()
    differences: msgspec.Raw = msgspec.Raw()
    history: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.field(name="traceEvents", default=msgspec.Raw())

    def result_kind(self) -> str | None:
        """Return the kind of a result that is no recording; None for all else."""
        if bytes(self.recording):
            return None
        if self.kind in KINDS:
            return self.kind if KINDS[self.kind].summarise is None else None
        held = {
            "depth": self.models,
            "explain": self.explained,
            "trace": self.traces,
            "ranks": self.ranks,
            "diff": self.differences,
            "history": self.history,
        }
        return next((kind for kind, part in held.items() if bytes(part)), None)


def read(path: str | Path) -> list[Result]:
    """Return what a file holds: one result, or of `seqprof trace` one for each trace.

    Raises:
        SeqprofError: it is missing, not JSON, not of seqprof, or of a newer one.
    """
    if Path(path).is_dir():
        return [_first_rank(Path(path))]
    name = str(path)
    data = read_document(path, "`seqprof run -o RUN.json` writes recordings")
    with damage_told(name):
        return _results(data, name)


def _first_rank(folder: Path) -> Result:
    """Rank 0 of a folder that `seqprof exec` wrote; which others lie beside it is in its name."""
    paths = sorted(folder.glob("rank*.json"), key=_rank_of)
    if not paths:
        raise SeqprofError(
            f"{folder} is a folder without recordings (rank0.json …)",
            "`seqprof exec -o FOLDER -- torchrun …` writes such folders",
        )
    data = read_document(paths[0], "`seqprof exec -o FOLDER -- torchrun …` writes such folders")
    ranks = [p.stem for p in paths if "." not in p.stem]
    further = [p.stem for p in paths if "." in p.stem]
    said = [f"of {len(ranks)} ranks: {', '.join(ranks)}"] if ranks[1:] else []
    said += [f"beside it: {', '.join(further)}"] if further else []
    others = f" ({'; '.join(said)})" if said else ""
    with damage_told(str(paths[0])):
        return replace(_results(data, str(paths[0]))[0], name=f"{paths[0]}{others}")


def _rank_of(path: Path) -> tuple[int, str]:
    digits = path.stem.removeprefix("rank")
    return (int(digits) if digits.isdigit() else 1 << 30, path.stem)


def _results(data: bytes, name: str) -> list[Result]:
    try:
        outline = msgspec.json.decode(data, type=_Outline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        outline = _Outline()  # the store says what is wrong with it
    kind = outline.result_kind()
    if kind is not None:
        return _derived(kind, outline, data, name)
    if bytes(outline.events):
        raise SeqprofError(f"{name} is a profiler's trace, not a recording", "use `seqprof trace`")
    return [result_of(derived(store.loads(data, name)), name)]


def _derived(kind: str, outline: _Outline, data: bytes, name: str) -> list[Result]:
    """Return the results in a document that has no recording."""
    _check_version(outline.schema_version, name)
    try:
        results: list[Result] = call(f"{KINDS[kind].json}:read", data, name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(name, kind, error) from error
    for result in results:
        _check_values(result.summary, name, kind)
    return [replace(result, created=outline.created) for result in results]


def _check_version(version: int, name: str) -> None:
    from seqprof.recording import SCHEMA_VERSION

    if version > SCHEMA_VERSION:
        raise SeqprofError(
            f"{name} was written by a newer seqprof (schema {version}; "
            f"this one reads up to {SCHEMA_VERSION})",
            "pip install --upgrade seqprof",
        )


def _check_values(value: object, name: str, command: str) -> None:
    excess = find_excess(value)
    if excess is not None:
        raise _damaged(name, command, ValueError(excess))


def _damaged(name: str, command: str, error: Exception) -> SeqprofError:
    return SeqprofError(
        f"{name} is not what `seqprof {command}` wrote: {error}", f"run `seqprof {command}` again"
    )
