"""`seqprof show`: the tables of recordings that were stored, without torch."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a recording is shown."""

    TABLE = "table"
    JSON = "json"


def show(
    recordings: Annotated[
        list[Path], typer.Argument(metavar="RUN.json...", help="Recordings; - is standard input.")
    ],
    output_format: Annotated[
        Format, typer.Option("--format", "-f", help="Tables, or the document as JSON.")
    ] = Format.TABLE,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the essential lines only.")
    ] = False,
) -> None:
    """Print the report of stored recordings again. All derived numbers are computed anew."""
    from seqprof import store
    from seqprof.analysis.summary import summarise

    loaded = [store.load(path) for path in recordings]  # all, before the first is printed
    for index, (path, recording) in enumerate(zip(recordings, loaded, strict=True)):
        if recording.kind != "run":
            from seqprof.cli.output import present_comparison

            present_comparison(recording, None, output_format is Format.JSON, quiet)
            continue
        summary = summarise(recording)
        if output_format is Format.JSON:
            from seqprof.reports import json as json_report

            json_report.save(recording, summary, store.STDOUT)
            continue
        if len(loaded) > 1:
            sys.stdout.write(f"{'' if index == 0 else chr(10)}== {path} ==\n")
        from seqprof.reports.console import print_report

        print_report(summary, quiet=quiet)
