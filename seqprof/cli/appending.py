"""`--append`: one line in a history for what was measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqprof.recording import Recording


def check_history(path: Path | None) -> None:
    """Refuse a history that could not be written, before anything is measured."""
    if path is not None:
        from seqprof.history import check_appendable

        check_appendable(path)


def append_history(recording: Recording, path: Path | None, quiet: bool) -> None:
    """Append the recording's headline numbers to the history; nothing where none was named.

    Raises:
        SeqprofError: the file cannot be written.
    """
    if path is None:
        return
    from seqprof.analysis.history.lines import history_lines
    from seqprof.history import append

    append(history_lines(recording), path)
    if not quiet:
        print(f"appended: {path}", file=sys.stderr)
