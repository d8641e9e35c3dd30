"""What a child process hands over of the evidence. Without torch: the parent reads it."""

from __future__ import annotations

from dataclasses import dataclass

from seqprof.analysis.explain.facts import Cascade, Subjected
from seqprof.recording import Recording


@dataclass(frozen=True, slots=True)
class Begun:
    """The candidate of this index is at work from now on: it is imported and built, or run."""

    candidate: int
    building: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of the candidate of this index."""

    candidate: int
    subjected: Subjected


@dataclass(frozen=True, slots=True)
class Marked:
    """A run with marks, or why there is none; and the step in which its timesteps were timed.

    Attributes:
        ended: the signal that ended it; 0 where none did.
    """

    run: Recording | None
    reason: str | None
    cascade: Cascade
    ended: int = 0
