"""`seqprof list`: the model families."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqprof.workloads.registry import Family


def list_families() -> None:
    """List the model families that a spec's `model.name` can say."""
    # Imported here so that `seqprof --help` need not wait for them.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from seqprof.workloads.registry import families

    table = Table(box=None, pad_edge=False)
    table.add_column("family", style="bold", no_wrap=True)
    table.add_column("recurrence", overflow="fold")
    table.add_column("forms", no_wrap=True)
    table.add_column("parallel\nover time", no_wrap=True)
    for family in families().values():
        table.add_row(*(Text(cell) for cell in _row(family)))
    console = Console()
    console.print(table)
    console.print("\nIn a spec: model.name and model.execution.")
    console.print("Your own model: model.target: package.module:factory")


def _row(family: Family) -> tuple[str, str, str, str]:
    return (
        family.name,
        family.recurrence,
        ", ".join(family.executions) or "one",
        "yes" if family.parallel_over_time else "no",
    )
