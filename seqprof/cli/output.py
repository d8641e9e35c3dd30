"""How a command hands over what it found: files, one document or tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqprof import store
from seqprof.errors import SeqprofError
from seqprof.reports import formats
from seqprof.reports.formats import Format, Kind, Result
from seqprof.reports.tables import MOST_KERNELS, print_result, title


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where results go, checked before anything is measured.

    Attributes:
        files: path and format; files first, standard output (``-``) last.
        tables: whether standard output is left for the tables.
    """

    files: tuple[tuple[str, Format], ...]
    tables: bool


def destinations(
    kinds: Sequence[Kind],
    outputs: Sequence[Path] | None,
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
    asked = None if format_name is None else formats.load(format_name)
    wanted = [(str(path), asked or formats.for_path(str(path))) for path in outputs or ()]
    if as_json or (asked is not None and not wanted and asked.name != "table"):
        wanted.append((store.STDOUT, formats.load("json") if as_json else asked or wanted[0][1]))
    wanted = _once(wanted)
    if asked is not None:
        formats.check(asked, kinds)
    for path, format_ in wanted:
        formats.check(format_, kinds)
        store.check_writable(path)
    on_stdout = any(path == store.STDOUT for path, _ in wanted)
    return Destinations(
        files=tuple(sorted(wanted, key=lambda pair: pair[0] == store.STDOUT)),
        tables=not on_stdout and (tables_beside_files or not wanted),
    )


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
    path: bool = False,
    kernels: int = MOST_KERNELS,
) -> None:
    """Write the files, then standard output: what was measured must survive a closed terminal.

    One file that fails does not keep the others from being written.

    Args:
        quiet: the essential lines only, and no word about files.
        path: list the longest chain too (depth).
        kernels: how many are listed at most (trace).

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
    if where.tables:
        for index, result in enumerate(results):
            if len(results) > 1 and result.kind != "trace":  # whose tables begin with their file
                sys.stdout.write(title(result, index))
            print_result(result, quiet=quiet, path=path, kernels=kernels)
    if failed:
        raise failed[0]
