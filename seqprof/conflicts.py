"""What a check of a spec finds; a family's own checks yield it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two or more keys that cannot be together.

    Attributes:
        at: the key to change, dotted.
        message: what is wrong and what would be right.
        involves: the other keys it depends on, dotted.
    """

    at: str
    message: str
    involves: tuple[str, ...] = ()
