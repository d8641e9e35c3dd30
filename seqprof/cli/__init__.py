"""The command line: one file per command; each parses, calls and prints."""

from seqprof.cli.app import main

__all__ = ["main"]
