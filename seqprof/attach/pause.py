"""Between two windows of ``--every``: nothing is recorded, updates are counted.

One hook is left, which adds one: torch's own after an optimizer's step, else a wrapper of the
backward or of the root's call, whatever ends an iteration of this loop.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from seqprof.attach.patches import Patches
from seqprof.attach.script_objects import ScriptObjects

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class UpdateSign:
    """By what an iteration's end is known in a loop, once its window is over.

    Attributes:
        optimizer: the last of the optimizers that are stepped in turn; None where none is.
        by_fetch: batches are fetched: an iteration ends with the first fetch after an update.
        root: class of the module that is called; where nothing is trained, a call is an iteration.
    """

    optimizer: weakref.ref[Any] | None
    by_fetch: bool
    root: type | None

    @property
    def under_way(self) -> bool:
        """Whether an iteration's end is that of a call, of which one is under way, uncounted."""
        return self.root is not None

    @classmethod
    def of(
        cls, script: ScriptObjects, optimizer: int | None, by_fetch: bool, *, inference: bool
    ) -> UpdateSign:
        """Of objects that are still known; ``optimizer`` is the number of the last."""
        ident = next((i for i, key in script.keys.items() if key == optimizer), None)
        root = next((type(module) for module in script.called_modules()), None)
        return cls(
            optimizer=script.living(ident) if ident is not None else None,
            by_fetch=by_fetch,
            root=root if inference else None,
        )


class Pause:
    """Counts the iterations until the next window.

    Args:
        iterations: how many to let pass, at least 1.
        resume: opens the window.
    """

    def __init__(self, iterations: int, sign: UpdateSign, resume: Callable[[], None]) -> None:
        self._left = iterations
        self._sign = sign
        self._resume = resume
        self._process = os.getpid()
        self._updated = self._inside = False
        self._patches = Patches()
        self._handle: Any = None
        self._begin()

    def _begin(self) -> None:
        sign = self._sign
        if sign.optimizer is not None:
            from torch.optim import optimizer
            from torch.utils.data import dataloader

            self._handle = optimizer.register_optimizer_step_post_hook(self._stepped)
            if sign.by_fetch:
                self._patches.put(dataloader._BaseDataLoaderIter, "__next__", self._fetching)
        elif sign.root is not None:
            self._patches.put(sign.root, "__call__", self._counting)
        else:
            self._patches.put(torch.Tensor, "backward", self._counting)
            self._patches.put(torch.autograd, "backward", self._counting)
            self._patches.put(torch.autograd, "grad", self._counting)

    def end(self) -> None:
        """Take the hook out."""
        self._patches.restore()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _stepped(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        assert self._sign.optimizer is not None
        if self._sign.by_fetch:
            self._updated = True
        elif self._sign.optimizer() in (None, optimizer):
            self._count()

    def _fetching(self, original: Call) -> Call:
        def __next__(iterator: Any) -> Any:  # noqa: N807
            if self._updated:
                self._updated = False
                self._count()
                if self._left == 0:  # a window has opened: this fetch is the first thing in it
                    return type(iterator).__next__(iterator)
            return original(iterator)

        return __next__

    def _counting(self, original: Call) -> Call:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_dynamo_compiling() or self._inside:
                return original(*args, **kwargs)
            self._inside = True
            try:
                return original(*args, **kwargs)
            finally:
                self._inside = False
                self._count()

        return wrapper

    def _count(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        self.end()
        if self._process == os.getpid():  # a forked child's loop is not the one that is watched
            self._resume()
