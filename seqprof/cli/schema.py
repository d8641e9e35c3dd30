"""`seqprof schema`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Print a JSON Schema.", no_args_is_help=True)


@app.command("spec")
def spec() -> None:
    """Not yet."""
    raise NotImplementedError


@app.command("recording")
def recording() -> None:
    """Not yet."""
    raise NotImplementedError
