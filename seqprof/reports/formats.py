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
from typing import TYPE_CHECKING, Any, Literal, get_args

from seqprof.errors import SeqprofError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from seqprof.analysis.rows import Row
    from seqprof.recording import Recording

Kind = Literal["run", "compare", "scale", "depth", "trace"]
KINDS: tuple[Kind, ...] = get_args(Kind)
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
        summary: of ``run`` a :class:`~seqprof.analysis.summary.Summary`, of ``compare`` a
            :class:`~seqprof.analysis.compared.ComparedSummary`, of ``scale`` a
            :class:`~seqprof.analysis.scaled.ScaledSummary`, of ``depth`` a
            :class:`~seqprof.analysis.model_depth.DepthSummary`, of ``trace`` a
            :class:`~seqprof.analysis.timeline.summary.TraceSummary`.
        recording: what the summary is derived from; None for ``depth`` and ``trace``.
    """

    kind: Kind
    name: str
    summary: Any
    recording: Recording | None

    def rows(self, most_timestep_rows: int | None = None) -> tuple[Row, ...]:
        """Return every number as a flat row.

        Args:
            most_timestep_rows: neighbouring timesteps share a row beyond this; None: as many as
                the JSON document has at most.
        """
        if self.kind == "run":
            from seqprof.analysis.rows import MOST_TIMESTEP_ROWS, rows

            assert self.recording is not None
            most = MOST_TIMESTEP_ROWS if most_timestep_rows is None else most_timestep_rows
            return rows(self.summary, self.recording.trials[0], most)
        module = import_module(f"seqprof.analysis.rows_{self.kind}")
        found: tuple[Row, ...] = module.rows(self.summary)
        return found


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
    "table": "seqprof.reports.tables:TABLE",
    "json": "seqprof.reports.json:JSON",
    "csv": "seqprof.reports.csv:CSV",
    "markdown": "seqprof.reports.markdown:MARKDOWN",
    "html": "seqprof.reports.html:HTML",
    "chrome": "seqprof.reports.chrome:CHROME",
    "prometheus": "seqprof.reports.prometheus:PROMETHEUS",
}
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
        found: Format = getattr(import_module(module), attribute)
        return found
    plug_ins = _plug_ins()
    if name not in plug_ins:
        from seqprof.suggest import did_you_mean

        raise SeqprofError(
            f"no format is called {name!r}{did_you_mean(name, [*_BUILT_IN, *plug_ins])}",
            "`seqprof list formats` lists them",
        )
    return _load_plug_in(plug_ins[name])


def for_path(path: str) -> Format:
    """Return the format that the ending of ``path`` selects; JSON where it selects none.

    Raises:
        SeqprofError: the package that adds the format is broken.
    """
    name = _longest(path, _SUFFIXES)
    if name is not None:
        return load(_SUFFIXES[name])
    if "." in path.rpartition("/")[2]:
        for plug_in in _plug_ins().values():
            try:
                found = _load_plug_in(plug_in)
            except SeqprofError:
                continue  # nobody asked for it by name
            if _longest(path, found.suffixes) is not None:
                return found
    return load(DEFAULT)


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
        return format_.render(results)
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
    return Result(
        kind=recording.kind, name=name, summary=_summarise(recording), recording=recording
    )


def _summarise(recording: Recording) -> Any:
    if recording.kind == "compare":
        from seqprof.analysis.compared import summarise_comparison

        return summarise_comparison(recording)
    if recording.kind == "scale":
        from seqprof.analysis.scaled import summarise_scaling

        return summarise_scaling(recording)
    from seqprof.analysis.summary import summarise

    return summarise(recording)


def _plug_ins() -> dict[str, EntryPoint]:
    """Return formats of other packages by name. A built-in name is not theirs to take."""
    from importlib.metadata import entry_points  # with what it imports in turn, 30 ms

    found = {point.name: point for point in reversed(entry_points(group=GROUP))}
    return {name: found[name] for name in sorted(found) if name not in _BUILT_IN}


def _load_plug_in(point: EntryPoint) -> Format:
    try:
        found = point.load()
    except Exception as error:  # whatever another package does when it is imported
        raise SeqprofError(
            f"the format {point.name} of {point.value} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            "reinstall or remove the package that adds it",
            EXIT_FORMAT_FAILED,
        ) from error
    if not isinstance(found, Format):
        raise SeqprofError(
            f"the format {point.name}: {point.value} is no seqprof.reports.formats.Format",
            "reinstall or remove the package that adds it",
            EXIT_FORMAT_FAILED,
        )
    return found
