"""Signals that end a command early: the first ends it, the next let it write what it has."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

from seqprof.errors import EndedError

#: A terminal's Ctrl-C, a scheduler's end, a terminal that went away.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What was measured has this long to be brought home and written; a signal after it ends at once.
PATIENCE_S = 20.0

_clock = time.monotonic
_asked_at: list[float] = []


def heeded() -> list[signal.Signals]:
    """Return those of ENDING that whoever started this process wants it to heed.

    ``nohup`` has it ignore SIGHUP, and a shell's ``&`` in a script SIGINT.
    """
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def note_asked() -> None:
    """Remember that an ending signal came, from now on."""
    _asked_at[:] = [_clock()]


def install(handler: Callable[[int, object], None] | None = None) -> None:
    """Raise at the first signal, hold back those of the next PATIENCE_S, and then raise again.

    Args:
        handler: in place of that.

    Raises:
        KeyboardInterrupt: in the main thread, when SIGINT comes; EndedError at the others.
    """
    _asked_at.clear()
    with suppress(ValueError):  # not the main thread: signals come elsewhere
        for number in heeded():
            signal.signal(number, handler or _end_once)


def _end_once(number: int, _: object) -> None:
    if _asked_at and _clock() - _asked_at[-1] < PATIENCE_S:
        return
    note_asked()
    raise KeyboardInterrupt if number == signal.SIGINT else EndedError(number)
