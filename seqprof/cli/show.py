"""`seqprof show`: stored recordings again, in any format, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import FormatName, Outputs, Quiet


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
    quiet: Quiet = False,
) -> None:
    """Show stored recordings again, or write them in other formats. All is computed anew."""
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.stored import read

    results = [result for path in recordings for result in read(path)]
    where = destinations(
        [result.kind for result in results], outputs, format_name, tables_beside_files=False
    )
    hand_over(results, where, quiet=quiet)
