"""`seqprof trace`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON (integer nanoseconds) instead of tables.")
    ] = False,
    top: Annotated[int, typer.Option("--top", min=0, help="Kernels to list.", metavar="N")] = 10,
) -> None:
    """Show how long the device really idled, in which phase and step, and why."""
    from seqprof.traces.source import ReadAhead

    # The first file is decompressed while numpy is imported.
    sources: list[Path | ReadAhead] = [ReadAhead(files[0]), *files[1:]]
    # Nothing here uses linear algebra; the threads that OpenBLAS starts cost more than the import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seqprof.analysis.timeline.summary import summarise
    from seqprof.traces.kineto import read_trace

    if as_json:
        from seqprof.reports.trace_json import to_json

        typer.echo(to_json([summarise(read_trace(source, partial)) for source in sources]))
        return
    from seqprof.reports.trace_console import print_trace

    for source in sources:
        print_trace(summarise(read_trace(source, partial)), top)
