"""`seqprof list`: the model families and the report formats."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seqprof.workloads.registry import Family

_NOTES = """\
* is the form of a spec that names none. parallel: whether all timesteps are
computed at once. depth: how the longest chain of dependent operations grows
with the timesteps T; work: how the arithmetic grows. C: timesteps in a chunk.

In a spec: model.name, model.execution (the form), model.transition (scalar).
Your own model: model.target: package.module:factory"""
_COLUMNS = ("form", "parallel", "depth", "work")
_WIDTHS = (20, 12, 12, 0)
_PARALLEL = {True: "yes", False: "no", None: "depends"}
_UNKNOWN = "not stated"
#: Every line fits a terminal of 80 columns.
_WIDEST = 80


class What(StrEnum):
    """What can be listed."""

    FAMILIES = "families"
    FORMATS = "formats"


def list_names(
    what: Annotated[
        What, typer.Argument(help="Model families, or what -f and -o can write.")
    ] = What.FAMILIES,
) -> None:
    """List the model families that a spec's `model.name` can say, or the report formats."""
    if what is What.FORMATS:
        list_formats()
        return
    list_families()


def list_formats() -> None:
    """List the formats that ``-f`` can say, what selects them for ``-o``, and what they show."""
    from seqprof.reports import formats

    for index, name in enumerate(formats.names()):
        lines = _format_lines(name)
        print("\n".join(("", *lines) if index else lines))


def _format_lines(name: str) -> list[str]:
    from seqprof.errors import SeqprofError
    from seqprof.reports import formats
    from seqprof.reports.escaping import one_line

    try:
        found = formats.load(name)
    except SeqprofError as error:  # of another package; the rest must still be listed
        told = one_line(error.message)
    else:
        kinds = " ".join(kind for kind in formats.KINDS if kind in found.kinds)
        ends = " ".join(found.suffixes) or "no ending of its own"
        alone = "" if found.several else "; one at a time"
        told = one_line(f"{found.title} ({ends}; of {kinds}{alone})")
    return textwrap.wrap(
        told, _WIDEST, initial_indent=one_line(name).ljust(12), subsequent_indent=" " * 12
    )


def list_families() -> None:
    """List the model families that a spec's `model.name` can say."""
    # Imported here so that `seqprof --help` need not wait for it.
    from seqprof.reports import formats
    from seqprof.workloads.registry import families

    known = families()
    width = max(map(len, known)) + 2
    print(_line("family", width, _COLUMNS))
    for family in known.values():
        print()
        for index, row in enumerate(_rows(family)):
            print(_line("" if index else family.name, width, row))
        recurrence = textwrap.wrap(
            family.recurrence, _WIDEST, initial_indent="  ", subsequent_indent="  "
        )
        print("\n".join(recurrence))
    print(f"\n{_NOTES}")
    told = f"Report formats: {', '.join(formats.names())} (`seqprof list formats`)"
    print("\n" + textwrap.fill(told, _WIDEST))


def _line(name: str, width: int, cells: tuple[str, ...]) -> str:
    padded = (cell.ljust(size) for cell, size in zip(cells, _WIDTHS, strict=True))
    return (name.ljust(width) + "".join(padded)).rstrip()


def _rows(family: Family) -> Iterator[tuple[str, ...]]:
    for growth in family.growth:
        star = " *" if growth.form == family.default_execution and len(family.growth) > 1 else ""
        yield growth.form + star, growth.parallel, growth.depth, growth.work
    if not family.growth:
        for form in family.executions or ("one",):
            yield form, _PARALLEL[family.parallel_over_time], _UNKNOWN, _UNKNOWN
