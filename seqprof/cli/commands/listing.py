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
    CONFIGS = "configs"


def list_names(
    what: Annotated[
        What,
        typer.Argument(help="Model families, what -f and -o can write, or the sample configs."),
    ] = What.FAMILIES,
) -> None:
    """List the names that commands take: model families, report formats, sample configs."""
    printer = {
        What.FAMILIES: list_families,
        What.FORMATS: list_formats,
        What.CONFIGS: list_configs,
    }[what]
    printer()


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
    from seqprof.reports.kinds import KINDS

    try:
        format_ = formats.load(name)
    except SeqprofError as error:  # of another package; the rest must still be listed
        reason = one_line(error.message)
    else:
        kinds = " ".join(kind for kind in KINDS if kind in format_.kinds)
        ends = " ".join(format_.suffixes) or "no ending of its own"
        alone = "" if format_.several else "; one at a time"
        reason = one_line(f"{format_.title} ({ends}; of {kinds}{alone})")
    return textwrap.wrap(
        reason, _WIDEST, initial_indent=one_line(name).ljust(12), subsequent_indent=" " * 12
    )


def list_configs() -> None:
    """List the sample configs, as every command takes them, and what each is for."""
    from seqprof import shipped_configs

    called = [shipped_configs.PREFIX + name for name in shipped_configs.names()]
    width = max(map(len, called)) + 2
    for name in called:
        print(
            textwrap.fill(
                shipped_configs.purpose(name.removeprefix(shipped_configs.PREFIX)),
                _WIDEST,
                initial_indent=name.ljust(width),
                subsequent_indent=" " * width,
            )
        )
    print(f"\nThey lie in {shipped_configs.folder()}")
    print("`seqprof run @lstm` runs one; `seqprof init @lstm -o my.yaml` copies one.")


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
    also = f"Report formats: {', '.join(formats.names())} (`seqprof list formats`)"
    print("\n" + textwrap.fill(also, _WIDEST))
    print("Sample configs: `seqprof list configs`")


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
