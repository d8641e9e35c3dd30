"""`seqprof list`."""

from __future__ import annotations


def list_families() -> None:
    """Not yet."""
    raise NotImplementedError
