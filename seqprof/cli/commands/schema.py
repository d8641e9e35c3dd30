"""`seqprof schema`: the shape of a spec, and of the JSON of every kind of result."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import typer

from seqprof.reports.kinds import KINDS

app = typer.Typer(help="Print a JSON Schema.", no_args_is_help=True)


def _show(schema: dict[str, Any]) -> None:
    # ASCII only: it is valid JSON all the same, and survives any terminal's encoding.
    typer.echo(json.dumps(schema, indent=2))


@app.command("spec")
def spec() -> None:
    """Print the JSON Schema of the YAML spec."""
    from seqprof.spec import json_schema

    _show(json_schema())


def _of_kind(kind: str) -> Callable[[], None]:
    def show_schema() -> None:
        from seqprof.reports.exports.json import schema

        _show(schema(kind))

    return show_schema


for _kind, _entry in KINDS.items():
    app.command(_kind, help=f"Print the JSON Schema of {_entry.noun}.")(_of_kind(_kind))
#: The name that the schema of a run has had from the beginning.
app.command("recording", hidden=True)(_of_kind("run"))
