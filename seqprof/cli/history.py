"""`seqprof history`: the trend of runs that `--append` kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def history(
    path: Annotated[
        Path, typer.Argument(metavar="HISTORY.jsonl", help="What --append wrote; - is stdin.")
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="As in step_time, phase_time.backward or peak_memory; may be given again.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON to stdout, and nothing else there.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the change points only.")
    ] = False,
) -> None:
    """Show how metrics went from run to run, and where a level changed.

    Runs of one spec on one machine make one series. Damaged lines are reported and skipped.

    \b
    seqprof run lstm.yaml --append history.jsonl
    seqprof history history.jsonl --metric step_time --metric phase_time.backward
    """
    from seqprof import history as histories
    from seqprof import store
    from seqprof.analysis.history_trend import summarise_history
    from seqprof.errors import SeqprofError

    lines, damaged = histories.read(path)
    if not lines and not damaged:
        raise SeqprofError(f"{path} is empty", "`seqprof run CONFIG --append FILE` fills it")
    summary = summarise_history(str(path), lines, damaged, metrics or ())
    if as_json:
        from seqprof.reports.history_json import dumps

        store.write(dumps(summary), store.STDOUT)
        return
    from seqprof.reports.history_console import print_history

    print_history(summary, quiet=quiet)
