"""How a command hands over what it found: files, one document or tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqprof import store
from seqprof.errors import SeqprofError
from seqprof.reports import formats
from seqprof.reports.document import View
from seqprof.reports.documents import document_of
from seqprof.reports.formats import Format, Kind, Result
from seqprof.reports.renderers import title


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where results go, checked before anything is measured.

    Attributes:
        files: path and format; files first, standard output (``-``) last.
        folders: where each plot becomes a file.
        full: the tables are all of them (`-f table`).
        tables: whether standard output is left for the tables.
    """

    files: tuple[tuple[str, Format], ...]
    tables: bool
    folders: tuple[Path, ...] = ()
    full: bool = False


def destinations(
    kinds: Sequence[Kind],
    outputs: Sequence[str | Path] | None,
    format_name: str | None,
    as_json: bool = False,
    *,
    tables_beside_files: bool = True,
) -> Destinations:
    """Return where results of these ``kinds`` go, by the options of the command line.

    Raises:
        SeqprofError: an unknown format, one that cannot show them, or a path that cannot be
            written.
    """
    if as_json and format_name not in (None, "json"):
        raise SeqprofError(f"--json and --format {format_name} contradict", "give one of them")
    form = None if format_name is None else formats.load(format_name)
    folders = [] if form else [path for path in outputs or () if _is_folder(str(path))]
    named = [str(path) for path in outputs or () if path not in folders]
    wanted = [(path, form or formats.for_path(path)) for path in named]
    if as_json or (form is not None and not wanted and form.name != "table"):
        wanted.append((store.STDOUT, formats.load("json") if as_json else form or wanted[0][1]))
    wanted = _once(wanted)
    if form is not None:
        formats.check(form, kinds)
    for path, format_ in wanted:
        formats.check(format_, kinds)
        store.check_writable(path)
    on_stdout = any(path == store.STDOUT for path, _ in wanted)
    return Destinations(
        files=tuple(sorted(wanted, key=lambda pair: pair[0] == store.STDOUT)),
        tables=not on_stdout and (tables_beside_files or not (wanted or folders)),
        folders=tuple(map(Path, folders)),
        full=form is not None and form.name == "table",
    )


def _is_folder(path: str) -> bool:
    """Whether ``path`` is to be a folder of plots: it ends in a slash, or is a folder."""
    return path.endswith("/") or (path != store.STDOUT and Path(path).is_dir())


def _once(wanted: Sequence[tuple[str, Format]]) -> list[tuple[str, Format]]:
    """Leave out what is asked for twice; refuse two formats for one place."""
    places: dict[str, tuple[str, Format]] = {}
    for path, format_ in wanted:
        place = path if path == store.STDOUT else str(Path(path).resolve())
        known = places.setdefault(place, (path, format_))
        if known[1] is not format_:
            name = "standard output" if path == store.STDOUT else path
            raise SeqprofError(
                f"{name} cannot be both {known[1].name} and {format_.name}", "name two files"
            )
    return list(places.values())


def hand_over(
    results: Sequence[Result],
    where: Destinations,
    *,
    quiet: bool = False,
    full: bool = False,
    view: View | None = None,
) -> None:
    """Write the files, then standard output: what was measured must survive a closed terminal.

    One file that fails does not keep the others from being written.

    Args:
        quiet: one line of each, and no word about files.
        full: everything; else what fits on one screen.
        view: what else of the results was asked for.

    Raises:
        SeqprofError: the first file that failed, after all others are written.
    """
    failed: list[SeqprofError] = []
    for place, format_ in where.files:
        try:
            store.write(formats.render(format_, results), place)
        except SeqprofError as error:
            failed.append(error)
            continue
        if place != store.STDOUT and not quiet:
            print(f"written: {place}", file=sys.stderr)
    for folder in where.folders:
        try:
            _draw(results, folder)
        except (OSError, SeqprofError) as error:
            failed.append(_unwritten(folder, error))
            continue
        if not quiet:
            print(f"written: {folder}/{_without_png()}", file=sys.stderr)
    if where.tables:
        _print(results, quiet=quiet, full=full or where.full, view=view)
    if failed:
        raise failed[0]


def _draw(results: Sequence[Result], folder: Path) -> None:
    """Write each plot into ``folder``, made where it is missing: SVG, and PNG where it can."""
    from seqprof.reports.renderers import png
    from seqprof.reports.renderers.svg import plots_of

    folder.mkdir(parents=True, exist_ok=True)
    for index, result in enumerate(results, 1):
        prefix = f"{index}-" if len(results) > 1 else ""
        for name, drawing in plots_of(document_of(result)):
            store.write(drawing.encode(), folder / f"{prefix}{name}.svg")
            if png.is_available():
                store.write(png.png(drawing), folder / f"{prefix}{name}.png")


def _without_png() -> str:
    from seqprof.reports.renderers import png

    return "" if png.is_available() else f" (SVG; {png.HINT})"


def _unwritten(folder: Path, error: Exception) -> SeqprofError:
    if isinstance(error, SeqprofError):
        return error
    return SeqprofError(f"cannot write plots into {folder}: {error}", "name another folder")


def _print(results: Sequence[Result], *, quiet: bool, full: bool, view: View | None) -> None:
    from seqprof.reports.renderers.console import print_document

    for index, result in enumerate(results):
        if len(results) > 1 and not quiet:
            sys.stdout.write(title(result, index))
        print_document(document_of(result, view or View(full=full)), full=full, quiet=quiet)
