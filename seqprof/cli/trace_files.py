"""What `seqprof trace` does. It imports as it goes: most of a short command is imports."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqprof.errors import EXIT_BAD_INPUT, SeqprofError

if TYPE_CHECKING:
    from seqprof.analysis.timeline.summary import TraceSummary
    from seqprof.traces.source import ReadAhead

#: Options without a value that are read without Typer, and which field each sets.
_PLAIN = {
    "-q": "quiet",
    "--quiet": "quiet",
    "--full": "full",
    "--json": "as_json",
    "--partial": "partial",
}


class TraceRequest(NamedTuple):
    """A command line of `seqprof trace`."""

    files: Sequence[Path]
    partial: bool = False
    jobs: int = 1
    cluster: str | None = None
    outputs: list[str] | None = None
    format_name: str | None = None
    as_json: bool = False
    top: int | None = None
    full: bool = False
    quiet: bool = False


def plain_request(words: Sequence[str]) -> TraceRequest | None:
    """What a command line asks for that consists of files and options without values.

    None for any other, which Typer reads: importing it takes a tenth of a small trace.
    """
    if not words or words[0] != "trace":
        return None
    files = [word for word in words[1:] if word == "-" or not word.startswith("-")]
    rest = {word for word in words[1:] if word.startswith("-") and word != "-"}
    if not files or not all(files) or not rest <= _PLAIN.keys():
        return None
    given: dict[str, Any] = {_PLAIN[word]: True for word in rest}
    return TraceRequest([Path(file) for file in files], **given)


def show_traces(request: TraceRequest) -> int:
    """Analyse and print; the exit code.

    Raises:
        SeqprofError: none of the files could be analysed, or the options contradict.
    """
    gc.disable()  # events form no cycles; looking for some takes a fifteenth of a short command
    if any(file.is_dir() for file in request.files):
        return _show_ranks(request)
    if request.cluster is not None or request.jobs > 1:
        raise SeqprofError("--jobs and --on are for a folder of traces", "give the folder")
    from seqprof.traces.source import STDIN, ReadAhead

    # The first file is decompressed while the rest is imported.
    first = request.files[0]
    sources: list[Path | ReadAhead] = [first if first == STDIN else ReadAhead(first)]
    sources += request.files[1:]
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.document import View
    from seqprof.reports.formats import Result

    kinds = ["trace"] * len(sources)
    where = destinations(kinds, request.outputs, request.format_name, request.as_json)
    summaries = _summaries(sources, request.partial)
    if not summaries:
        return EXIT_BAD_INPUT
    results = [
        Result(kind="trace", name=each.source, summary=each, recording=None) for each in summaries
    ]
    view = View(full=request.full, kernels=request.top)
    hand_over(results, where, quiet=request.quiet, full=request.full, view=view)
    gc.freeze()  # or the interpreter looks for cycles before it exits: another tenth
    failed = len(sources) - len(results)
    if failed:
        print(f"seqprof: {failed} of {len(sources)} files could not be analysed", file=sys.stderr)
    return EXIT_BAD_INPUT if failed else 0


def _summaries(sources: Sequence[Path | ReadAhead], partial: bool) -> list[TraceSummary]:
    """What each file says; a damaged file beside good ones does not hide these."""
    # Nothing here uses linear algebra; the threads that OpenBLAS starts cost more than the import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seqprof.analysis.timeline.summary import summarise
    from seqprof.cli.guard import report
    from seqprof.traces.kineto import read_trace

    summaries = []
    for source in sources:
        try:
            summaries.append(summarise(read_trace(source, partial)))
        except SeqprofError as error:
            if len(sources) == 1:
                raise
            report(error.message, error.hint)
    return summaries


def _show_ranks(request: TraceRequest) -> int:
    """Set the ranks of a folder side by side."""
    from seqprof.cli.output import destinations, hand_over
    from seqprof.reports.formats import Result
    from seqprof.traces.folder import read_folder

    if len(request.files) > 1:
        raise SeqprofError("a folder of ranks stands alone", "give one folder, or files")
    where = destinations(["ranks"], request.outputs, request.format_name, request.as_json)
    summary = read_folder(request.files[0], request.partial, request.jobs, request.cluster)
    result = Result(kind="ranks", name=summary.source, summary=summary, recording=None)
    hand_over([result], where, quiet=request.quiet, full=request.full)
    return EXIT_BAD_INPUT if summary.failed else 0
