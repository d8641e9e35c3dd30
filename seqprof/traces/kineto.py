"""What torch.profiler writes (Kineto, any version, CUDA, ROCm, XPU …) → a ``Timeline``."""

from __future__ import annotations

from pathlib import Path

from seqprof.analysis.timeline.structure import OPERATOR, Timeline
from seqprof.errors import SeqprofError
from seqprof.file_kinds import better_use
from seqprof.traces.assembly import timeline_of
from seqprof.traces.event_columns import EventColumns
from seqprof.traces.reader import DamagedError, EventReader, NotATraceError
from seqprof.traces.source import STDIN, ReadAhead, name_of, place_of
from seqprof.traces.writers import writer_of


def read_trace(source: Path | ReadAhead, partial: bool = False) -> Timeline:
    """Read a trace file of torch.profiler, plain or packed.

    It is read in one pass in pieces of 1 MB, so memory grows with the number of events kept
    (about 100 bytes each) and not with the size of the file.

    Args:
        source: the file (``-``: standard input), or one that is being read already.
        partial: use the whole events of a truncated or damaged file.

    Raises:
        SeqprofError: the file cannot be read, is no trace of torch.profiler, or is damaged and
            ``partial`` is off.
    """
    ahead = source if isinstance(source, ReadAhead) else ReadAhead(source)
    reader, columns = _read(ahead, partial)
    _refuse_other_writers(ahead.path, columns)
    return timeline_of(_source(ahead.path), columns, reader)


def read_own_trace(path: Path) -> Timeline:
    """Read a trace that seqprof itself recorded with torch.profiler.

    One without operators and activities is no other writer's file but a profiler that recorded
    nothing: its timeline is returned, and who asks for a figure says what it lacks.

    Raises:
        SeqprofError: the file cannot be read, is no trace, or is damaged.
    """
    reader, columns = _read(ReadAhead(path), partial=False)
    return timeline_of(_source(path), columns, reader)


def _source(path: Path) -> str:
    return path.name if path != STDIN else name_of(path)


def _read(ahead: ReadAhead, partial: bool) -> tuple[EventReader, EventColumns]:
    path = ahead.path
    reader, columns = EventReader(partial), EventColumns()
    try:
        for batch in reader.batches(iter(ahead)):
            columns.add(batch)
    except NotATraceError as error:
        hint = error.hint or (better_use(path, "trace") if path.is_file() else None)
        raise SeqprofError(
            f"{name_of(path)} is not a trace: {error}",
            hint or "give a file written by torch.profiler's export_chrome_trace",
        ) from error
    except DamagedError as error:
        how = "truncated" if error.truncated else "damaged"
        raise SeqprofError(
            f"{place_of(path, error.at)}: the trace is {how}: {error.what}",
            "--partial analyses the events that are whole",
        ) from error
    return reader, columns


def _refuse_other_writers(path: Path, columns: EventColumns) -> None:
    """Refuse a file in which there is nothing of torch.profiler's to analyse."""
    if columns.device:
        return
    seen = columns.seen
    writer = writer_of(sorted(seen.categories), sorted(seen.processes), sorted(seen.arguments))
    if writer is not None:
        raise SeqprofError(
            f"{name_of(path)} was written by {writer}, which seqprof does not read",
            "record with torch.profiler and export_chrome_trace",
        )
    if any((part.kind == OPERATOR).any() for part in columns.host):
        return
    if seen.phases["B"]:
        what = (
            "its events are begins and ends (ph B and E); torch.profiler writes complete ones (X)"
        )
    elif columns.host:
        what = "it holds calls of the host, but neither operators nor activity of a device"
    else:
        what = "it holds none of torch.profiler's operators, runtime calls and kernels"
    raise SeqprofError(
        f"{name_of(path)} cannot be analysed: {what}",
        "record with torch.profiler (ProfilerActivity.CPU and CUDA) and export_chrome_trace",
    )
