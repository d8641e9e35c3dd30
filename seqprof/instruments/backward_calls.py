"""Backwards that a training step runs by itself, before its loss is handed on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import torch


class BackwardCalls:
    """Counts calls of ``torch.autograd.backward`` and ``grad`` while it is entered.

    Args:
        counts: whether one that begins now counts.

    Attributes:
        count: how many did.
    """

    def __init__(self, counts: Callable[[], bool]) -> None:
        self._counts = counts
        self._patches = ExitStack()
        self.count = 0

    def __enter__(self) -> Self:
        for name in ("backward", "grad"):
            made = self._counting(getattr(torch.autograd, name))
            self._patches.enter_context(patch.object(torch.autograd, name, made))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._patches.close()

    def _counting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += self._counts()
            return original(*args, **kwargs)

        return call
