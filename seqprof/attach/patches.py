"""Replace attributes of classes and modules, and put back what stood there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Patches:
    """Attributes that were replaced, each with what its owner had itself."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, str, Any, bool, Any]] = []

    def put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace ``owner.name`` by ``make(original)``, under the original's name and docstring."""
        own = name in vars(owner)
        original = vars(owner)[name] if own else getattr(owner, name)
        replacement = functools.wraps(original)(make(original))
        setattr(owner, name, replacement)
        self._made.append((owner, name, replacement, own, original))

    def restore(self, only: tuple[Any, str] | None = None) -> None:
        """Put everything back, or only the attribute ``only`` of an owner.

        What someone has replaced after us stays: it calls ours, which passes on.
        """
        left = []
        for made in reversed(self._made):
            owner, name, replacement, own, original = made
            if only is not None and (owner, name) != only:
                left.append(made)
            elif vars(owner).get(name) is replacement:
                if own:
                    setattr(owner, name, original)
                else:
                    delattr(owner, name)
        self._made = left[::-1]

    def __len__(self) -> int:
        return len(self._made)
