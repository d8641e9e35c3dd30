"""What a loop's repeats are, and what says so."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from seqprof.analysis.timeline.timesteps.loops import RepeatLoop

Evidence = Literal[
    "same module",
    "shared parameters",
    "recurrent cell",
    "gates of a cell",
    "sampling loop",
    "indexed inputs",
    "recurrent operator",
    "length of the sequence",
    "multiple of its length",
    "pattern only",
]

#: What each kind of evidence says, as a sentence's part.
MEANING: dict[Evidence, str] = {
    "same module": "the modules that fill the repeats are called again in each",
    "shared parameters": "gradients show that the repeats share the parameters that fill them",
    "recurrent cell": "a recurrent cell's operator is called in each repeat",
    "gates of a cell": "each repeat has the gates of an LSTM or a GRU",
    "sampling loop": "each repeat draws a token and looks one up",
    "indexed inputs": "each repeat takes the next slice of an input",
    "recurrent operator": "the repeats lie in one call of a recurrent layer",
    "length of the sequence": "there are as many repeats as the sequence has timesteps, or one "
    "less or more, and a longer one launches more operators",
    "multiple of its length": "there are several repeats for each timestep of the sequence, and a "
    "longer one launches more operators. If they do not take turns in a timestep but are passes "
    "one after another, which the profile cannot tell, only the mean of these latencies is right",
    # Stored results of schema 1 have it; nothing is reported by it any more.
    "pattern only": "told by the pattern alone; equal layers would look the same",
}

#: What says that there are timesteps, but not whether they are those of one cell.
BY_NAMES = frozenset({"recurrent cell", "gates of a cell", "recurrent operator", "indexed inputs"})

#: Share of a repeat's time that must speak for a verdict.
FILLS = 0.5
#: Share of the repeats that must agree.
MOST = 0.75
#: Cells of equal shape called one after another in a timestep, at most.
STACKED = 8


class RecurrenceVerdict(Struct, frozen=True):
    """Timesteps, as ``loops``, or layers (no loops).

    ``begun`` counts the repeats in which a parameter that others use too is used first.
    """

    evidence: Evidence
    loops: tuple[RepeatLoop, ...] = ()
    begun: int = 1

    @property
    def fits(self) -> bool:
        """Whether the edges of the repeats fit what they hold."""
        first_uses, _, spread = self.unevenness
        return first_uses <= 0 and spread == 0

    @property
    def unevenness(self) -> tuple[int, int, int]:
        """How badly the edges of the repeats fit what they hold; less is better.

        First uses beyond one for each loop, activities outside of all loops (less a constant), and
        by how much the loops differ in length.
        """
        lengths = [loop.repeats for loop in self.loops]
        inside = sum(loop.end - loop.starts[0] for loop in self.loops)
        return self.begun - len(lengths), -inside, max(lengths) - min(lengths)
