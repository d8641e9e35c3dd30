"""Models that a script trains after those of the first iterations, as in a comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.compiler import is_dynamo_compiling

from seqprof.attach.hooks import calling_root
from seqprof.attach.patches import Patches
from seqprof.attach.session import Session

Call = Callable[..., Any]
_CALL = (nn.Module, "__call__")


class LaterRoots:
    """Looks for roots of classes that are not watched, when an optimizer is new.

    Args:
        session: whose modules are known.
        patches: where the hooks of their classes are put.
    """

    def __init__(self, session: Session, patches: Patches) -> None:
        self._session, self._patches = session, patches
        self._until = -1

    def look(self) -> None:
        """Look for them until the iteration after this one has begun.

        Not beside a compiled model: torch.compile would trace it anew for what is changed here.
        """
        if self._session.explorer is None and not self._session.compiled:
            looking = self._until >= 0
            self._until = self._session.iteration + 1
            if not looking:
                self._patches.put(*_CALL, self._looking)

    def _looking(self, original: Call) -> Call:
        session = self._session

        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            if is_dynamo_compiling() or session.inside_root or session.inside_backward:
                return original(module, *args, **kwargs)
            if session.iteration > self._until:
                self._patches.restore(_CALL)
                self._until = -1
            elif session.on and next(module.parameters(), None) is not None:
                self._watch(type(module))
                return module(*args, **kwargs)  # its class has our hook now
            return original(module, *args, **kwargs)

        return __call__

    def _watch(self, kind: type) -> None:
        """The hook of ``kind`` is to call what torch has there, not us."""
        self._patches.restore(_CALL)
        self._patches.put(kind, "__call__", calling_root(self._session))
        self._patches.put(*_CALL, self._looking)
