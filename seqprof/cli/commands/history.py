"""`seqprof history`: the trend of runs that `--append` kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import AsJson, FormatName, Full, Quiet, ReportOutputs


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
    outputs: ReportOutputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Show how metrics went from run to run, and where a level changed.

    Runs of one spec on one machine make one series. Damaged lines are reported and skipped.

    \b
    seqprof run lstm.yaml --append history.jsonl
    seqprof history history.jsonl --metric step_time --metric phase_time.backward
    """
    from seqprof import history as histories
    from seqprof.analysis.history.trend import summarise_history
    from seqprof.cli.output import destinations, hand_over
    from seqprof.document_door import damage_told
    from seqprof.errors import SeqprofError
    from seqprof.reports.formats import Result

    where = destinations(["history"], outputs, format_name, as_json)
    lines, damaged = histories.read(path)
    if not lines and not damaged:
        raise SeqprofError(f"{path} is empty", f"`seqprof run --append {path}` fills it")
    with damage_told(str(path)):
        summary = summarise_history(str(path), lines, damaged, metrics or ())
        result = Result(kind="history", name=str(path), summary=summary, recording=None)
        hand_over([result], where, quiet=quiet, full=full)
