"""`seqprof trace`."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import AsJson, FormatName, Outputs


def trace(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Traces written by torch.profiler (export_chrome_trace), plain or gzip.",
            show_default=False,
        ),
    ],
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Use the whole events of a truncated or damaged file."),
    ] = False,
    outputs: Outputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
    top: Annotated[int, typer.Option("--top", min=0, help="Kernels to list.", metavar="N")] = 10,
) -> None:
    """Show how long the device really idled, in which phase and step, and why."""
    gc.disable()  # events form no cycles; looking for some takes a fifteenth of a short command
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.formats import Result
    from seqprof.traces.source import ReadAhead

    where = destinations(["trace"] * len(files), outputs, format_name, as_json)
    # The first file is decompressed while numpy is imported.
    sources: list[Path | ReadAhead] = [ReadAhead(files[0]), *files[1:]]
    # Nothing here uses linear algebra; the threads that OpenBLAS starts cost more than the import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seqprof.analysis.timeline.summary import summarise
    from seqprof.traces.kineto import read_trace

    found = (summarise(read_trace(source, partial)) for source in sources)
    results = [
        Result(kind="trace", name=summary.source, summary=summary, recording=None)
        for summary in found
    ]
    hand_over(results, where, kernels=top)
    gc.freeze()  # or the interpreter looks for cycles before it exits: another tenth
