"""The backward by the forward's timesteps: autograd's sequence numbers tie each node to one."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.grouping import distinct
from seqprof.analysis.timeline.structure import Ints
from seqprof.analysis.timeline.timesteps.autograd import Nodes
from seqprof.analysis.timeline.timesteps.candidates import PassLoops
from seqprof.analysis.timeline.timesteps.loops import RepeatLoop
from seqprof.analysis.timeline.timesteps.passes import Pass, Passes

#: Backward passes behind a forward in which its nodes are sought.
_BEHIND = 3


class Reached(Struct, frozen=True):
    """The timesteps of one forward loop in the backward that follows it.

    ``timestep`` is that of each activity of ``one``, -1 outside the loop.
    """

    one: Pass
    timestep: Ints

    @property
    def timesteps(self) -> Ints:
        """Which timesteps the backward reaches, ascending."""
        return distinct(self.timestep[self.timestep >= 0])


def backward_of(loops: PassLoops, backward: Passes, nodes: Nodes) -> list[Reached]:
    """Each loop of ``loops`` in the backward; those that it does not reach are left out."""
    behind = backward.ending_after(loops.one.start_ns, _BEHIND)
    forward = [nodes.forward_of(one.activities.launch_ns) for one in behind]
    reached = []
    for loop in loops.loops:
        tied = [
            Reached(one, _timesteps(loops.one, loop, times))
            for one, times in zip(behind, forward, strict=True)
        ]
        best = max(tied, key=lambda each: int((each.timestep >= 0).sum()), default=None)
        if best is not None and len(best.timesteps):
            reached.append(best)
    return reached


def _timesteps(one: Pass, loop: RepeatLoop, forward_ns: Ints) -> Ints:
    edges = loop.edges_ns(one)
    repeat = np.searchsorted(edges, forward_ns, side="right") - 1
    return np.where((repeat >= 0) & (repeat < loop.repeats), repeat, -1)
