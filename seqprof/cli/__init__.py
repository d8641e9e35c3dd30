"""The command line: one file per command; each parses, calls and prints."""

from __future__ import annotations

import sys

from seqprof.cli.guard import guarded


def main() -> None:
    """Run the command line; the console script and ``python -m seqprof`` come here."""
    sys.exit(guarded(_command))


def _command() -> object:
    from seqprof.cli.trace_files import plain_request, show_traces

    words = sys.argv[1:]
    request = plain_request(words)
    if request is not None:
        return show_traces(request)
    from seqprof.cli.app import run_command

    return run_command(words)
