"""`seqprof doctor`: is this machine ready to measure, and how precisely?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from seqprof.errors import EXIT_CANNOT_MEASURE

if TYPE_CHECKING:
    from seqprof.cli.doctor.check import Check

#: Only these two ask for something to be done, so only these are coloured.
_STYLES = {"warning": "yellow", "problem": "bold red"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON, and nothing else.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="The device that you mean to measure: auto, cpu, cuda, cuda:1 …")
    ] = "auto",
) -> None:
    """Check this machine: ready to measure, and how small a difference can be seen.

    Changes nothing. Exits with 1 if something prevents measuring; warnings leave it at 0.
    """
    from seqprof.cli.doctor.checks import run_checks

    checks = run_checks(device)
    can_measure = all(check.state != "problem" for check in checks)
    if as_json:
        document = {"can_measure": can_measure, "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(checks, can_measure)
    if not can_measure:
        raise typer.Exit(EXIT_CANNOT_MEASURE)


def _print_table(checks: list[Check], can_measure: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for check in checks:
        words = check.finding + (f"\n→ {check.remedy}" if check.remedy else "")
        state = Text(check.state, style=_STYLES.get(check.state, ""))
        table.add_row(check.name, state, Text(words))
    console = Console(highlight=False)
    console.print(table)
    warnings = sum(check.state == "warning" for check in checks)
    if not can_measure:
        console.print("Measuring is not possible here; see the problems above.")
    elif warnings:
        console.print(f"Measuring is possible; heed {warnings} of the findings above.")
    else:
        console.print("Measuring is possible.")
