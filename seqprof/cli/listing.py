"""`seqprof list`: the model families."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

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


def list_families() -> None:
    """List the model families that a spec's `model.name` can say."""
    # Imported here so that `seqprof --help` need not wait for it.
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
