"""The command line: one file per command; each parses, calls and prints."""

from __future__ import annotations

import os
import signal
import sys

from seqprof import ending_signals

__all__ = ["main"]


def main() -> None:
    """Run the command line; the console script and ``python -m seqprof`` come here."""
    ending_signals.install(_end_at_once)  # importing the rest takes a while on a busy machine
    from seqprof.cli.guard import guarded

    sys.exit(guarded(_command))


def _end_at_once(number: int, _: object) -> None:
    os.write(2, f"seqprof: interrupted ({signal.Signals(number).name})\n".encode())
    os._exit(128 + number)


def _command() -> object:
    from seqprof.cli.trace_files import plain_request, show_traces

    words = sys.argv[1:]
    request = plain_request(words)
    if request is not None:
        return show_traces(request)
    from seqprof.cli.app import run_command

    return run_command(words)
