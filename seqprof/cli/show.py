"""`seqprof show`."""

from __future__ import annotations


def show() -> None:
    """Not yet."""
    raise NotImplementedError
