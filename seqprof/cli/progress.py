"""A progress bar on stderr that moves only when told to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from seqprof.measure.outcome import NoProgress
from seqprof.recording import Recording


class StageProgress:
    """Shows the running stage. It has no refresh thread, which would run beside timed steps."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def stage(self, name: str, total: float | None) -> None:
        """Begin a stage; ``total`` as :meth:`advance` will count it."""
        self._bar.reset(self._task, total=total, description=name, start=True)
        self._bar.refresh()

    def advance(self, done: float) -> None:
        """So much of the stage is done."""
        self._bar.update(self._task, completed=done)
        self._bar.refresh()

    def keep(self, recording: Callable[[], Recording | None], *, at_once: bool = False) -> None:
        """Nothing to show of it."""


@contextmanager
def stage_progress(enabled: bool) -> Iterator[StageProgress | NoProgress]:
    """A bar on stderr while in the block; nothing when stderr is no terminal."""
    if not (enabled and sys.stderr.isatty()):
        yield NoProgress()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as bar:
        yield StageProgress(bar)
