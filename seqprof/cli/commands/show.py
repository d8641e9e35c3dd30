"""`seqprof show`: stored recordings again, in any format, without torch."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import FormatName, Full, Outputs, Quiet


def show(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN.json...",
            help="What `-o` or `--json` of any command wrote; - is standard input.",
        ),
    ],
    outputs: Outputs = None,
    format_name: FormatName = None,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Show stored recordings again, or write them in other formats. All is computed anew.

    \b
    seqprof show run.json
    seqprof show run.json -o run.html -o run.csv
    """
    gc.disable()  # as in `trace`: what is read forms no cycles, and a short command ends soon
    from seqprof.cli.output import destinations, hand_over
    from seqprof.document_door import damage_told
    from seqprof.reports.stored import read

    results = [result for path in recordings for result in read(path)]
    where = destinations(
        [result.kind for result in results], outputs, format_name, tables_beside_files=False
    )
    with damage_told(*map(str, recordings)):
        hand_over(results, where, quiet=quiet, full=full)
