"""What the agent is asked to do; travels to the script's process in an environment variable."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

#: Environment variable with the options of the agent, as JSON.
OPTIONS = "SEQPROF_ATTACH"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """How a foreign loop is measured.

    Attributes:
        folder: where the agent writes.
        steps: measured steps of a window.
        warmup: steps before them, in which the loop is explored; 3 at least.
        stop: end the script after the window.
        timesteps: mark timesteps in every second step.
        budget: share of a step that marks may cost.
        profiled: steps under torch.profiler after the measured ones.
        trace: their trace is to be kept, also on a processor.
        every: a window again each so many steps; 0: one window.
        window: number of this one, from 1.
        steps_before: steps of the loop before it.
    """

    folder: str
    steps: int = 100
    warmup: int = 4
    stop: bool = False
    timesteps: bool = True
    budget: float = 0.01
    operations: bool = True
    profiled: int = 3
    trace: bool = False
    every: int = 0
    window: int = 1
    steps_before: int = 0

    @property
    def ending(self) -> str:
        """Of the names of the window's files."""
        return "" if self.window == 1 else f".w{self.window:04}"

    def to_environment(self) -> dict[str, str]:
        """The variables of the script's environment that carry the options."""
        return {OPTIONS: json.dumps(asdict(self))}


def from_environment() -> AttachOptions:
    """Read the options that :meth:`AttachOptions.to_environment` wrote."""
    return AttachOptions(**json.loads(os.environ[OPTIONS]))
