"""One step of the warm-up that is counted: operations, memory, chain of dependent operations.

Counted once: it slows the step several times over. Counted is what lies inside the script's calls
of its modules, of ``backward`` and of ``step``, and between a forward and its backward.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from seqprof.attach.exploring.discovery import DiscoveredLoop
from seqprof.attach.marks import Marks, ScriptLoopMarks
from seqprof.attach.step_chain import StepChain
from seqprof.attach.step_memory import StepMemory
from seqprof.instruments.operations import is_timestep_gradient, launches


class PhaseOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts below autograd what runs inside of hooks; they nest where a closure is used.

    Args:
        device: where the model is.
        loops: whose timesteps are marked, in operations.
        besides: phases that are not counted, because one of them has begun already.

    Attributes:
        counts: operations by phase.
        marks: take the place of those in time, in this step.
        blocks: what these have written.
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        device: torch.device,
        loops: Sequence[DiscoveredLoop] = (),
        besides: Collection[str] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._besides = besides
        self.counts: dict[str, int] = {}
        self._open: list[str] = []
        self._entered = False
        self._count = 1  # a mark of 0 is none
        self.blocks: list[str] = []
        marks = [ScriptLoopMarks(n, loop, lambda: self._count) for n, loop in enumerate(loops)]
        self.marks = Marks(marks, lambda block: self.blocks.append(block.hex()))
        self._timesteps = loops[0].timesteps if loops else 0
        self._by_name: dict[tuple[str, str], list[int]] = {}
        self._memory = StepMemory(device)
        self._chain = StepChain(device)
        self._depth: dict[str, Any] = {"reason": "the step did not end"}

    # --- phases --------------------------------------------------------------------------------

    def begin(self, phase: str) -> None:
        """What runs from here on is of ``phase``."""
        if phase in self._besides or not self._may_enter():
            return
        if self._open == ["loss"]:
            self._open.clear()
        self._open.append(phase)
        self.counts.setdefault(phase, 0)
        self._memory.read(phase)
        if not self._entered:
            self._entered = True
            self.__enter__()  # type: ignore[no-untyped-call]

    def _may_enter(self) -> bool:
        """Not inside a transform of torch.func, where a mode of ours would be one of its own, and
        not under a mode of the script's, which may end before ours."""
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return False
        return self._entered or _get_current_dispatch_mode() is None

    def end(self, phase: str, *, then: str | None = None) -> None:
        """``phase`` ends, if it began while this counted; ``then`` begins where none is around."""
        if not self._open or self._open[-1] != phase:
            return
        self._open.pop()
        if not self._open and then is not None:
            self.begin(then)
        self._leave()

    def close(self) -> None:
        """The step is over; what is still open in it is counted no further."""
        self._open.clear()
        self._leave()
        self._memory.close()
        self._depth = self._chain.finish()

    def _leave(self) -> None:
        """Leave once nothing is open; a mode that the script has entered meanwhile goes first."""
        if self._entered and not self._open and _get_current_dispatch_mode() is self:
            self._entered = False
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    # --- operations ----------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._open:
            self._chain.take(self._open[-1], func, args, kwargs or {}, result)
            # A higher-order operator (a scan) has no schema: it is one, whatever is in it.
            if not hasattr(func, "_schema") or launches(func):
                self._take(self._open[-1], func, args, result)
        return result

    def _take(self, phase: str, func: Any, args: Any, result: Any) -> None:
        self.counts[phase] += 1
        self._count += 1
        self._memory.read(phase)
        if phase not in ("forward", "backward"):
            return
        name = func._schema.name if hasattr(func, "_schema") else f"higher_order::{func}"
        tally = self._by_name.setdefault((phase, name), [0, 0, 0])
        tally[0] += 1
        if self._timesteps and is_timestep_gradient(name, args, self._timesteps):
            tally[1] += 1
            tally[2] += result.numel() * result.element_size()

    def facts(self) -> dict[str, Any]:
        """What was counted, for the log."""
        return {
            "counts": self.counts,
            "marks": self.blocks,
            "names": [[*key, *tally] for key, tally in self._by_name.items()],
            "memory": self._memory.peaks,
            "memory_method": self._memory.method,
            "depth": self._depth,
        }
