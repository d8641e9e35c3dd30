"""The command line: one file per command; each parses, calls and prints."""

from __future__ import annotations

import os
import signal
import sys

from seqprof import ending_signals

__all__ = ["main", "program"]


def program() -> None:
    """The program `seqprof`, and ``python -m seqprof``: the command line, and the process ends."""
    code = _run()
    if _is_plain_trace():  # all is written, and no thread, child or temporary file is left
        os._exit(code)  # taking the modules apart is a fifteenth of a small trace
    sys.exit(code)


def main() -> None:
    """Run the command line in a process that goes on.

    Raises:
        SystemExit: always, with the exit code.
    """
    sys.exit(_run())


def _run() -> int:
    """Run the command line of this process; return its exit code."""
    ending_signals.install(_end_at_once)  # importing the rest takes a while on a busy machine
    from seqprof.cli.guard import guarded

    return guarded(_command)


def _end_at_once(number: int, _: object) -> None:
    os.write(2, f"seqprof: interrupted ({signal.Signals(number).name})\n".encode())
    os._exit(128 + number)


def _is_plain_trace() -> bool:
    from seqprof.cli.trace_files import plain_request

    return plain_request(sys.argv[1:]) is not None


def _command() -> object:
    from seqprof.cli.trace_files import plain_request, show_traces

    words = sys.argv[1:]
    request = plain_request(words)
    if request is not None:
        return show_traces(request)
    from seqprof.cli.app import run_command

    return run_command(words)
