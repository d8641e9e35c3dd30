"""The chain of dependent operations in the one step that is counted."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

from seqprof.analysis.depth.operation_graph import longest
from seqprof.instruments.depth import DepthRecorder

#: What recording the chain may cost the script's step, in seconds.
_MOST_S = 2.0
_PHASES = ("forward", "loss", "backward")


class StepChain:
    """The graph of the step's operations, as long as recording it takes not too much time."""

    def __init__(self, device: torch.device) -> None:
        self._recorder: DepthRecorder | None = DepthRecorder(device.type, real=True)
        self._spent_s = 0.0
        self._reason: str | None = None

    def take(self, phase: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take in an operation that has run."""
        if self._recorder is None:
            return
        start = perf_counter()
        self._recorder.phase = phase
        try:
            self._recorder.record(func, args, kwargs, result)
        except Exception as error:  # it must not reach the script
            self._give_up(f"{type(error).__name__}: {error}".splitlines()[0])
        self._spent_s += perf_counter() - start
        if self._spent_s > _MOST_S:
            self._give_up(f"recording one step would have taken more than {_MOST_S:g} s")

    def _give_up(self, reason: str) -> None:
        self._recorder, self._reason = None, reason

    def finish(self) -> dict[str, Any]:
        """Depth and work of forward, loss and backward, or why they are not known.

        The record is let go: the names of storages that it keeps make every later step slower.
        """
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return {"reason": self._reason}
        graph = recorder.graph
        counted = [n for n, phase in enumerate(graph.phases) if phase in _PHASES]
        depth = longest(graph.sources, counted, lambda _number: 1)
        return {"depth": depth, "work": len(counted), "reason": None}
