"""`seqprof dashboard`: ready dashboards for what seqprof exports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write ready dashboards for seqprof's exports.", no_args_is_help=True)


@app.callback()
def dashboard() -> None:
    """Hold the commands: without it, a single one would lose its name."""


@app.command("grafana")
def grafana(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")],
    prometheus_url: Annotated[
        str, typer.Option("--prometheus-url", help="Where Grafana reaches Prometheus.")
    ] = "http://localhost:9090",
    run_url: Annotated[
        str, typer.Option("--run-url", help="Where Grafana reaches a run's JSON.")
    ] = "http://localhost:8000/run.json",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> None:
    """Write two Grafana dashboards and the provisioning that loads them.

    One shows runs over time from Prometheus (`-f prometheus`), the other one run's JSON in full
    (Infinity data source). docs/dashboards.md goes through both.
    """
    from seqprof import store
    from seqprof.errors import SeqprofError
    from seqprof.reports.exports.dashboards.grafana import files

    written = {
        output / name: document
        for name, document in files(output.resolve(), prometheus_url, run_url).items()
    }
    existing = [str(path) for path in written if path.exists()]
    if existing and not force:
        raise SeqprofError(
            f"{', '.join(existing)} {'exists' if len(existing) == 1 else 'exist'} already",
            "name another folder, or overwrite with --force",
        )
    for path, document in written.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SeqprofError(
                f"cannot write {path}: {error.strerror}", "choose a folder that is yours"
            ) from error
        store.write(document, path)
        typer.echo(f"written: {path}")
    typer.echo(
        "next: start Grafana with the environment variables\n"
        f"  GF_PATHS_PROVISIONING={output.resolve()}\n"
        f"  GF_PLUGINS_PREINSTALL={_infinity()}\n"
        "and see docs/dashboards.md for how the numbers get there"
    )


def _infinity() -> str:
    from seqprof.reports.exports.dashboards.run_rows import PLUGIN

    return PLUGIN
