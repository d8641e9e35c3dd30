"""`seqprof schema`."""

from __future__ import annotations

import json

import typer

app = typer.Typer(help="Print a JSON Schema.", no_args_is_help=True)


@app.command("spec")
def spec() -> None:
    """Print the JSON Schema of the YAML spec."""
    from seqprof.spec import json_schema

    # ASCII only: it is valid JSON all the same, and survives any terminal's encoding.
    typer.echo(json.dumps(json_schema(), indent=2))


@app.command("recording")
def recording() -> None:
    """Print the JSON Schema of a stored recording."""
    from seqprof.reports.json import schema

    typer.echo(json.dumps(schema(), indent=2))


@app.command("compare")
def compare() -> None:
    """Print the JSON Schema of a stored comparison."""
    from seqprof.reports.compare_json import CompareDocument, schema

    typer.echo(json.dumps(schema(CompareDocument, "seqprof comparison"), indent=2))


@app.command("scale")
def scale() -> None:
    """Print the JSON Schema of a stored scaling."""
    from seqprof.reports.compare_json import ScaleDocument, schema

    typer.echo(json.dumps(schema(ScaleDocument, "seqprof scaling"), indent=2))


@app.command("trace")
def trace() -> None:
    """Print the JSON Schema of what `seqprof trace --json` prints."""
    from seqprof.reports.compare_json import schema
    from seqprof.reports.trace_json import TraceDocument

    typer.echo(json.dumps(schema(TraceDocument, "seqprof trace"), indent=2))


@app.command("depth")
def depth() -> None:
    """Print the JSON Schema of what `seqprof depth --json` prints."""
    from seqprof.reports.compare_json import schema
    from seqprof.reports.depth_json import DepthDocument

    typer.echo(json.dumps(schema(DepthDocument, "seqprof depth"), indent=2))
