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
    name: Annotated[
        str | None,
        typer.Argument(metavar="[metrics|run]", help="Print this dashboard.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")
    ] = None,
    prometheus_url: Annotated[
        str, typer.Option("--prometheus-url", help="Where Grafana reaches Prometheus.")
    ] = "http://localhost:9090",
    run_url: Annotated[
        str, typer.Option("--run-url", help="Where Grafana reaches a run's JSON.")
    ] = "http://localhost:8000/run.json",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> None:
    """Print Grafana dashboards, or write them with the provisioning that loads them.

    `metrics` shows runs over time from Prometheus (`-f prometheus`), `run` one run's JSON in full
    (Infinity data source). Without a name both are printed, as a JSON array.

    \b
    seqprof dashboard grafana metrics      to import in Grafana
    seqprof dashboard grafana -o grafana   both, and the provisioning
    """
    from seqprof import store
    from seqprof.errors import SeqprofError
    from seqprof.reports.exports.dashboards import INFINITY
    from seqprof.reports.exports.dashboards.grafana import BOARDS, board, files

    if output is None:
        boards = [board(each, run_url) for each in ([name] if name else BOARDS)]
        store.write(boards[0] if name else b"[\n" + b",\n".join(boards) + b"]\n", store.STDOUT)
        return
    if name is not None:
        raise SeqprofError("a folder gets both dashboards", f"leave out {name!r}, or -o")
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
        f"  GF_PLUGINS_PREINSTALL={INFINITY}\n"
        "and see docs/dashboards.md for how the numbers get there"
    )
