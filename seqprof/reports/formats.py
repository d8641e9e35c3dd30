"""What a report format is, which there are, and what each is made from.

A format turns results into one document: bytes, which the command line writes to a file or to
standard output. Built-in ones are in the table below, by the object that is imported when the
format is asked for; other packages add theirs through the entry points ``seqprof.reports``
(docs/reports.md shows one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from seqprof.errors import SeqprofError
from seqprof.reports.kinds import KINDS, call, summarise
from seqprof.visible_text import coded

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from seqprof.analysis.rows import Row
    from seqprof.recording import Recording

#: The name of a kind of result, one of :data:`seqprof.reports.kinds.KINDS`.
Kind: TypeAlias = str
EVERY_KIND: frozenset[Kind] = frozenset(KINDS)
#: The group of entry points by which another package adds formats.
GROUP = "seqprof.reports"
#: What a file is written as whose name ends in nothing known.
DEFAULT = "json"
EXIT_FORMAT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one command found, or one stored file holds; every format is made from these.

    Attributes:
        kind: the command.
        name: the file it was read from, or what was measured, as in ``compare lstm gru``. Not to
            be trusted: it may hold any character.
        summary: what the analysis of that kind brings, as a
            :class:`~seqprof.analysis.run.summary.Summary` of ``run``.
        recording: what the summary is derived from; None where the result is not made from one.
        created: when it was derived, in a file that was read; None for now, and with a recording.
    """

    kind: Kind
    name: str
    summary: Any
    recording: Recording | None
    created: str | None = None

    def rows(self, most_timestep_rows: int | None = None) -> tuple[Row, ...]:
        """Return every number as a flat row.

        Args:
            most_timestep_rows: neighbouring timesteps share a row beyond this; None: as many as
                the JSON document has at most.
        """
        if self.kind == "run":
            from seqprof.analysis.run.rows import MOST_TIMESTEP_ROWS, rows

            assert self.recording is not None
            most = MOST_TIMESTEP_ROWS if most_timestep_rows is None else most_timestep_rows
            return rows(self.summary, self.recording.trials[0], most)
        made: tuple[Row, ...] = call(KINDS[self.kind].rows, self.summary)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to write results.

    Attributes:
        name: what ``-f`` says.
        title: one line for ``seqprof list``.
        suffixes: endings of a file's name that select it for ``-o``, as in ``(".csv",)``.
        kinds: which commands' results it can show.
        several: whether several results go into one document.
        render: results (one or more; of one kind or, where it can show them, of several) to the
            document. A :class:`~seqprof.errors.SeqprofError` of it is shown to the user.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    kinds: frozenset[Kind]
    several: bool
    render: Callable[[Sequence[Result]], bytes]


#: Name to the format, imported when it is asked for: ``--help`` and a table need none of them.
_BUILT_IN = {
    "table": "seqprof.reports.renderers:TABLE",
    "json": "seqprof.reports.exports.json:JSON",
    "csv": "seqprof.reports.exports.csv:CSV",
    "markdown": "seqprof.reports.renderers:MARKDOWN",
    "html": "seqprof.reports.renderers:HTML",
    "chrome": "seqprof.reports.exports.chrome:CHROME",
    "prometheus": "seqprof.reports.exports.prometheus:PROMETHEUS",
}
#: Formats that may hold any character as its code; the others show it as text.
_CODED = frozenset({"json", "chrome", "html"})
#: Endings of the built-in formats, so that none is imported to learn them. A test compares.
_SUFFIXES = {
    ".txt": "table",
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".trace.json": "chrome",
    ".prom": "prometheus",
}
#: Endings of plots: a folder of them is written, not one file.
_DRAWINGS = (".svg", ".png")


def names() -> list[str]:
    """Return the names of all formats: the built-in ones, then those of other packages."""
    return [*_BUILT_IN, *_plug_ins()]


def load(name: str) -> Format:
    """Return the format of that name.

    Raises:
        SeqprofError: there is none, or the package that adds it is broken.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        format_: Format = getattr(import_module(module), attribute)
        return format_
    plug_ins = _plug_ins()
    if name not in plug_ins:
        raise _no_format(name, [*_BUILT_IN, *plug_ins])
    return _load_plug_in(plug_ins[name])


def _no_format(name: str, known: Sequence[str]) -> SeqprofError:
    from seqprof.suggest import did_you_mean

    by_ending = _SUFFIXES.get(f".{name.removeprefix('.')}")  # `-f md`: what `-o` takes as an ending
    meant = f"; did you mean {by_ending!r}?" if by_ending else did_you_mean(name, known)
    return SeqprofError(f"no format is called {name!r}{meant}", "`seqprof list formats` lists them")


def for_path(path: str) -> Format:
    """Return the format that the ending of ``path`` selects; JSON where it has no ending.

    Raises:
        SeqprofError: the ending is that of no format.
    """
    name = _longest(path, _SUFFIXES)
    if name is not None:
        return load(_SUFFIXES[name])
    if "." in path.rpartition("/")[2]:
        for plug_in in _plug_ins().values():
            try:
                format_ = _load_plug_in(plug_in)
            except SeqprofError:
                continue  # nobody asked for it by name
            if _longest(path, format_.suffixes) is not None:
                return format_
        raise _unknown_ending(path)
    return load(DEFAULT)


def _unknown_ending(path: str) -> SeqprofError:
    ending = f".{path.rpartition('.')[2]}"
    if ending.lower() in _DRAWINGS:
        return SeqprofError(
            f"{path}: a result has several plots, so they go into a folder",
            f"name a folder, with a slash: -o {path.rpartition('.')[0]}/",
        )
    known = " ".join(_SUFFIXES)
    return SeqprofError(
        f"{path}: no format writes files that end in {ending}",
        f"known endings: {known}; or name the format with -f",
    )


def _longest(path: str, suffixes: Iterable[str]) -> str | None:
    """Return the longest of the ``suffixes`` that ``path`` ends in."""
    ends = [suffix for suffix in suffixes if path.lower().endswith(suffix)]
    return max(ends, key=len, default=None)


def check(format_: Format, kinds: Sequence[Kind]) -> None:
    """Refuse results, by their kinds, that ``format_`` cannot show.

    Raises:
        SeqprofError: it cannot show one of them, or not several at once.
    """
    for kind in kinds:
        if kind not in format_.kinds:
            able = ", ".join(sorted(format_.kinds))
            raise SeqprofError(
                f"the format {format_.name} cannot show what `seqprof {kind}` found",
                f"it shows: {able}; `seqprof list formats` lists the others",
            )
    if len(kinds) > 1 and not format_.several:
        raise SeqprofError(
            f"the format {format_.name} shows one result at a time, not {len(kinds)}",
            "name one file, and call seqprof once for each",
        )


def render(format_: Format, results: Sequence[Result]) -> bytes:
    """Render, so that a fault of another package's format is one message.

    Raises:
        SeqprofError: the format could not do it.
    """
    if format_.name in _BUILT_IN:
        made = format_.render(results)
        return coded(made) if format_.name in _CODED else made
    try:
        return format_.render(results)
    except SeqprofError:
        raise
    except Exception as error:
        raise SeqprofError(
            f"the format {format_.name} failed: {type(error).__name__}: {error}",
            "it comes from another package: tell its authors",
            EXIT_FORMAT_FAILED,
        ) from error


def result_of(recording: Recording, name: str) -> Result:
    """Summarise a recording by its kind.

    Raises:
        SeqprofError: the recording holds no trial.
    """
    return Result(kind=recording.kind, name=name, summary=summarise(recording), recording=recording)


def _plug_ins() -> dict[str, EntryPoint]:
    """Return formats of other packages by name. A built-in name is not theirs to take."""
    from importlib.metadata import entry_points  # with what it imports in turn, 30 ms

    points = {point.name: point for point in reversed(entry_points(group=GROUP))}
    return {name: points[name] for name in sorted(points) if name not in _BUILT_IN}


def _load_plug_in(point: EntryPoint) -> Format:
    try:
        format_ = point.load()
    except Exception as error:  # whatever another package does when it is imported
        raise SeqprofError(
            f"the format {point.name} of {point.value} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            "reinstall or remove the package that adds it",
            EXIT_FORMAT_FAILED,
        ) from error
    if not isinstance(format_, Format):
        raise SeqprofError(
            f"the format {point.name}: {point.value} is no seqprof.reports.formats.Format",
            "reinstall or remove the package that adds it",
            EXIT_FORMAT_FAILED,
        )
    return format_
