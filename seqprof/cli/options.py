"""Arguments and options that several commands have, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

#: What every argument takes that names a model.
MODEL_WORDS = (
    "A name of `seqprof list` (lstm), one of its forms (lstm@cell), a sample of `seqprof list "
    "configs` (@truncated_bptt), a YAML file, or your own package.module:factory."
)

Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in model.layers=2."),
]
Hidden: TypeAlias = Annotated[
    int | None,
    typer.Option("--hidden", min=1, metavar="H", help="Hidden size: --set model.hidden_size=H."),
]
StartFrom: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="YAML spec that the candidates start from.")
]
Outputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a file as its ending says: .json .html .csv .md .prom …; plots/ is a folder of "
        "SVG plots; - is stdout. May be given again.",
    ),
]
#: The same where there is no recording, which .prom needs.
ReportOutputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a file as its ending says: .json .html .csv .md .txt; plots/ is a folder of "
        "SVG plots; - is stdout. May be given again.",
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
    bool, typer.Option("--quiet", "-q", help="Print one line; no progress.")
]
Full: TypeAlias = Annotated[
    bool, typer.Option("--full", help="Print every table, not only what fits on one screen.")
]
AppendTo: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--append",
        metavar="FILE",
        help="Add the headline numbers to a history (JSON Lines), for `seqprof history`.",
    ),
]


def size_overrides(
    hidden: int | None, seq_len: int | None = None, batch: int | None = None
) -> list[str]:
    """Return what the options for sizes say as ``--set`` does, without those not given."""
    sizes = {"model.hidden_size": hidden, "data.seq_len": seq_len, "data.batch_size": batch}
    return [f"{key}={size}" for key, size in sizes.items() if size is not None]
