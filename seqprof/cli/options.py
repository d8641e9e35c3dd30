"""Arguments and options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in model.layers=2."),
]
StartFrom: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="YAML spec that the candidates start from.")
]
Outputs: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a file as its ending says: .json .html .csv .md .prom …; - is stdout. May be "
        "given again.",
    ),
]
FormatName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="Of every -o; without -o print it instead of tables. See `seqprof list formats`.",
    ),
]
LogTo: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        metavar="TRACKER[=WHERE]",
        help="Log to tensorboard, wandb or mlflow as well. May be given again.",
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the essential lines only; no progress.")
]
AppendTo: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--append",
        metavar="FILE",
        help="Add the headline numbers to a history (JSON Lines), for `seqprof history`.",
    ),
]
