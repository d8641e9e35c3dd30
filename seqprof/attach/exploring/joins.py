"""Where the forward of a root that is called once a timestep ends.

What it returned is put together then, by ``torch.stack`` or ``torch.cat``. A list of losses may be
as well, but they were made after the last call, which autograd's numbers of operations tell.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from torch import Tensor, is_grad_enabled
from torch.compiler import is_dynamo_compiling

from seqprof.analysis.loop.kinds import Kind
from seqprof.attach.exploring.discovery import FEWEST
from seqprof.attach.session import Session
from seqprof.instruments.gradient_nodes import sequence_number

Call = Callable[..., Any]
_JOIN_IN, _JOIN_OUT = int(Kind.JOIN_IN), int(Kind.JOIN_OUT)


class Joins:
    """The hooks of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made = 0  # autograd's operations when the root returned last

    def returning(self, original: Call) -> Call:
        """Wrapper of the root's ``__call__``, around the one that stamps."""

        def __call__(module: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            result = original(module, *args, **kwargs)
            if not is_dynamo_compiling():
                self._made = sequence_number()
            return result

        return __call__

    def joining(self, original: Call) -> Call:
        """Wrapper of ``torch.stack`` and ``torch.cat``."""
        session = self._session

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling() or session.inside_root or not session.on:
                return original(*args, **kwargs)
            now = perf_counter_ns()
            if not args or session.inside_backward or not self._is_of_root(args[0]):
                return original(*args, **kwargs)
            session.enter(_JOIN_IN, now)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                session.left(_JOIN_OUT)
                raise
            session.leave(_JOIN_OUT)
            return result

        return wrapper

    def _is_of_root(self, parts: Any) -> bool:
        """Whether these are what the root returned, one a timestep."""
        if not isinstance(parts, (list, tuple)) or len(parts) < FEWEST or not is_grad_enabled():
            return False
        node = parts[-1].grad_fn if isinstance(parts[-1], Tensor) else None
        return node is not None and int(node._sequence_nr()) < self._made
