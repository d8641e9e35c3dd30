"""`seqprof doctor`."""

from __future__ import annotations


def doctor() -> None:
    """Not yet."""
    raise NotImplementedError
