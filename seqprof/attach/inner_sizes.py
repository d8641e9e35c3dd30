"""T of a root's call where the root is not given it: a module inside is, or returns it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import nn

from seqprof.attach.exploring.sizes import Inside


class InnerSize:
    """Reads T of the next call of a module, each time it is asked to.

    Args:
        inside: the module, which lives no longer for us, and where T is.
    """

    def __init__(self, inside: Inside) -> None:
        self._module = weakref.ref(inside.module)
        self._read, self._returned = inside.read, inside.returned
        self._handle: Any = None

    def wait(self, tell: Callable[[int], None]) -> None:
        """Call ``tell`` with T, 0 if it cannot be read, when the module is called next."""
        self.leave()
        module = self._module()
        if module is None:
            return

        def read(args: Any, kwargs: Any) -> None:
            self.leave()
            try:
                timesteps = self._read(args, kwargs)
            except (LookupError, AttributeError, TypeError):
                timesteps = 0
            tell(timesteps)

        def given(_module: nn.Module, args: Any, kwargs: Any) -> None:
            read(args, kwargs)

        def returned(_module: nn.Module, _args: Any, result: Any) -> None:
            read((result,), {})

        if self._returned:
            self._handle = module.register_forward_hook(returned)
        else:
            self._handle = module.register_forward_pre_hook(given, with_kwargs=True)

    def leave(self) -> None:
        """Take the hook out: what the script does with its module has none of ours in it."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
