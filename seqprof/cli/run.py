"""`seqprof run`."""

from __future__ import annotations


def run() -> None:
    """Not yet."""
    raise NotImplementedError
