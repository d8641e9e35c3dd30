"""`seqprof trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import AsJson, FormatName, Full, Quiet, ReportOutputs


def trace(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Traces written by torch.profiler (export_chrome_trace), plain or packed (gzip, "
            "bzip2, xz, zst, zip, tar); - is standard input; or a folder of one per rank.",
            show_default=False,
        ),
    ],
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Use the whole events of a truncated or damaged file."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", min=1, metavar="N", help="Of a folder: files read at a time."),
    ] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="dask://HOST:PORT", help="Of a folder: a Dask cluster reads the files."
        ),
    ] = None,
    outputs: ReportOutputs = None,
    format_name: FormatName = None,
    as_json: AsJson = False,
    top: Annotated[
        int | None, typer.Option("--top", min=0, help="Kernels to list.", metavar="N")
    ] = None,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Show how long the device really idled, in which phase and step, and why.

    \b
    seqprof trace trace.json.gz
    seqprof trace traces/                  a folder: one file per rank
    """
    from seqprof.cli.trace_files import TraceRequest, show_traces

    code = show_traces(
        TraceRequest(
            files=files,
            partial=partial,
            jobs=jobs,
            cluster=cluster,
            outputs=outputs,
            format_name=format_name,
            as_json=as_json,
            top=top,
            full=full,
            quiet=quiet,
        )
    )
    if code:
        raise typer.Exit(code)
