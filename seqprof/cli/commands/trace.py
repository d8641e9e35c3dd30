"""`seqprof trace`."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from seqprof.cli.options import AsJson, FormatName, Full, Quiet, ReportOutputs
from seqprof.errors import SeqprofError


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
    gc.disable()  # events form no cycles; looking for some takes a fifteenth of a short command
    if any(file.is_dir() for file in files):
        _ranks(files, partial, jobs, cluster, outputs, format_name, as_json, full, quiet)
        return
    if cluster is not None or jobs > 1:
        raise SeqprofError("--jobs and --on are for a folder of traces", "give the folder")
    from seqprof.cli.guard import report
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.document import View
    from seqprof.reports.formats import Result
    from seqprof.traces.source import ReadAhead

    where = destinations(["trace"] * len(files), outputs, format_name, as_json)
    # The first file is decompressed while numpy is imported.
    sources: list[Path | ReadAhead] = [ReadAhead(files[0]), *files[1:]]
    # Nothing here uses linear algebra; the threads that OpenBLAS starts cost more than the import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seqprof.analysis.timeline.summary import summarise
    from seqprof.traces.kineto import read_trace

    results, failed = [], 0
    for source in sources:
        try:
            summary = summarise(read_trace(source, partial))
        except SeqprofError as error:
            if len(sources) == 1:
                raise
            report(error.message, error.hint)  # a damaged file beside good ones does not hide these
            failed += 1
            continue
        results.append(Result(kind="trace", name=summary.source, summary=summary, recording=None))
    if not results:
        raise typer.Exit(2)
    hand_over(results, where, quiet=quiet, full=full, view=View(full=full, kernels=top))
    gc.freeze()  # or the interpreter looks for cycles before it exits: another tenth
    if failed:
        print(f"seqprof: {failed} of {len(sources)} files could not be analysed", file=sys.stderr)
        raise typer.Exit(2)


def _ranks(
    folders: list[Path],
    partial: bool,
    jobs: int,
    cluster: str | None,
    outputs: list[str] | None,
    format_name: str | None,
    as_json: bool,
    full: bool,
    quiet: bool,
) -> None:
    """Set the ranks of a folder side by side."""
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.formats import Result
    from seqprof.traces.folder import read_folder

    if len(folders) > 1:
        raise SeqprofError("a folder of ranks stands alone", "give one folder, or files")
    where = destinations(["ranks"], outputs, format_name, as_json)
    summary = read_folder(folders[0], partial, jobs, cluster)
    result = Result(kind="ranks", name=summary.source, summary=summary, recording=None)
    hand_over([result], where, quiet=quiet, full=full)
    if summary.failed:
        raise typer.Exit(2)
