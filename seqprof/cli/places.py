"""Where `exec` puts its recordings: files, a folder of ranks, standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from seqprof import store
from seqprof.analysis.run.phases import headline_steps
from seqprof.analysis.statistics import median
from seqprof.analysis.wording import seconds_in_words
from seqprof.cli.output import destinations, hand_over
from seqprof.errors import SeqprofError
from seqprof.recording import Recording


class Places:
    """Destinations of one command line, checked before the script is started.

    Standard output is the script's: the tables go to standard error. Of several ranks each has its
    own file, in a folder named as the file that was asked for.
    """

    def __init__(self, outputs: Sequence[Path], format_name: str | None, as_json: bool) -> None:
        self._folders = [path for path in outputs if _is_folder(path)]
        files = [path for path in outputs if not _is_folder(path)]
        self._where = destinations(["run"], files, format_name, as_json)
        for folder in self._folders:
            _make(folder)

    def write(self, recordings: Sequence[Recording], *, quiet: bool, full: bool) -> None:
        """Write every rank's recording and print rank 0's tables.

        Raises:
            SeqprofError: a file cannot be written.
        """
        from seqprof.reports.formats import result_of

        ranks, further = _one_a_rank(recordings)
        named = [Path(path) for path, _ in self._where.files if path != store.STDOUT]
        several = len(ranks) > 1 or ranks[0].rank.world_size > 1
        for folder in (*self._folders, *((p.with_suffix("") for p in named) if several else ())):
            _write_ranks(recordings, folder, quiet)
        result = result_of(ranks[0], ranks[0].trials[0].workload.model)
        tables, files = replace(self._where, files=()), replace(self._where, tables=False)
        if self._where.tables:
            with redirect_stdout(sys.stderr):
                hand_over([result], tables, quiet=quiet, full=full)
        if several:
            files = replace(files, files=tuple(f for f in files.files if f[0] == store.STDOUT))
        hand_over([result], files, quiet=quiet)
        if not quiet:
            _say_what_else(recordings)
        for number, other in enumerate(further if not several else (), 2):
            for path in named:
                _write(other, path.with_suffix(f".{_ending(other, number)}.json"), quiet)


def _one_a_rank(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """The first of each rank, and the others: a script may start processes that train, too."""
    first: dict[int, Recording] = {}
    for recording in recordings:
        first.setdefault(recording.rank.rank, recording)
    keeping = {id(recording) for recording in first.values()}
    return list(first.values()), [r for r in recordings if id(r) not in keeping]


def windows_of(recordings: Sequence[Recording]) -> list[Recording]:
    """The windows of the recording that comes first, which is one of them."""
    own = [recordings[0]]
    for recording in recordings[1:]:
        if _window(recording) != _window(own[-1]) + 1:
            break
        own.append(recording)
    return own


def _window(recording: Recording) -> int:
    loop = recording.trials[0].loop
    return loop.window if loop is not None else 1


def _ending(recording: Recording, number: int) -> str:
    window = _window(recording)
    return f"window{window}" if window > 1 else str(number)


def _say_what_else(recordings: Sequence[Recording]) -> None:
    """Of several windows their step times; of several processes, which one is shown."""
    windows = windows_of(recordings)
    if len(windows) > 1:
        steps = [median_s for r in windows if (median_s := _typical_s(r)) is not None]
        times = ", ".join(seconds_in_words(s) for s in steps)
        print(
            f"seqprof: {len(windows)} windows; shown: the first; a step: {times}", file=sys.stderr
        )
    firsts = [r for r in recordings if _window(r) == 1 and r.rank.rank == recordings[0].rank.rank]
    if len(firsts) > 1:
        print(f"seqprof: {len(firsts)} processes trained; shown: of most steps", file=sys.stderr)


def _typical_s(recording: Recording) -> float | None:
    walls = [s.wall_s for s in headline_steps(recording.trials[0])]
    return median(walls) if walls else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() or (not path.suffix and str(path) != store.STDOUT)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SeqprofError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write_ranks(recordings: Sequence[Recording], folder: Path, quiet: bool) -> None:
    """One file a rank; further processes of a rank have a number more."""
    _make(folder)
    ranks, further = _one_a_rank(recordings)
    for recording in ranks:
        _write(recording, folder / f"rank{recording.rank.rank}.json", quiet)
    for number, recording in enumerate(further, 2):
        ending = _ending(recording, number)
        _write(recording, folder / f"rank{recording.rank.rank}.{ending}.json", quiet)


def _write(recording: Recording, path: Path, quiet: bool) -> None:
    from seqprof.reports import formats
    from seqprof.reports.formats import result_of

    content = formats.render(formats.load("json"), [result_of(recording, str(path))])
    store.write(content, str(path))
    if not quiet:
        print(f"written: {path}", file=sys.stderr)
