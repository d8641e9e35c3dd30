"""How far a watched process has come, read from the files that its agent is writing.

Read in the process that started the script, and of the newest steps alone: looking costs the
machine as little at the end as at the beginning.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from seqprof.analysis.loop.iteration import Iteration
from seqprof.analysis.loop.iterations import find_loop
from seqprof.analysis.loop.kinds import WORDS, Flag, Kind
from seqprof.analysis.loop.log import LoopEvent, read_events
from seqprof.analysis.loop.phases import PhaseTime, phase_times

_WORD = 8
#: Newest events that are looked at, and steps that are told of.
_EVENTS, _STEPS = 2_000, 20


@dataclass(slots=True)
class LoopProgress:
    """How far one process has come.

    Attributes:
        at: bytes of its log that were read.
        iterations: those that have begun.
        complete: the window is over.
    """

    path: Path
    at: int = 0
    iterations: int = 0
    newest: deque[LoopEvent] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    complete: bool = False
    _shape: LoopEvent | None = None

    def read(self) -> None:
        """Take in what was written since the last look."""
        size = WORDS * _WORD
        with self.path.open("rb") as file:
            file.seek(self.at)
            while len(data := file.read(size)) == size and any(data[:_WORD]):  # its last word
                self.at += size
                for event in read_events(data):
                    self._take(event)

    def _take(self, event: LoopEvent) -> None:
        self.newest.append(event)
        self.iterations += event.kind == Kind.ITERATION
        self.complete |= event.kind == Kind.WINDOW
        self._shape = event if event.kind == Kind.SHAPE else self._shape

    def steps(self) -> list[tuple[Iteration, dict[str, PhaseTime]]]:
        """The newest measured steps, with the times of their phases."""
        newest = sorted(self.newest, key=attrgetter("at_ns"))
        if self._shape is not None and newest[0].at_ns > self._shape.at_ns:
            newest.insert(0, self._shape)  # sizes are written when they change
        loop = find_loop(newest)
        by_fetch = loop.boundary == "fetch"
        measured = [i for i in loop.iterations[1:-1] if i.finished and i.flags != Flag.WARMUP]
        return [(i, phase_times(i, by_fetch=by_fetch)) for i in measured[-_STEPS:]]

    def fact(self, name: str) -> dict[str, Any] | None:
        """The first fact of a sort that the agent has written; None as long as there is none."""
        facts = self.path.with_suffix(".facts")
        for line in facts.read_text(errors="replace").splitlines() if facts.exists() else ():
            with suppress(json.JSONDecodeError):
                fact: dict[str, Any] = json.loads(line)
                if fact.get("fact") == name:
                    return fact
        return None
