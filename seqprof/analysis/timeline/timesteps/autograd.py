"""What autograd left in a trace: its nodes, the forward operator of each, and finished gradients.

A forward operator and the node that it records bear the same sequence number, so each moment of the
backward is tied to one of the forward, whatever order the engine takes. A parameter's gradient is
finished by its last contribution: ``AccumulateGrad`` has the highest priority, so the engine
evaluates it right after the node that contributed last (torch/csrc/autograd/engine.cpp).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from seqprof.analysis.timeline.phases import autograd_operators
from seqprof.analysis.timeline.structure import OPERATOR, Bools, Ints, Timeline

_ACCUMULATE = r"AccumulateGrad$"
#: ``forward_ns`` of a node whose forward operator is not in the trace.
UNKNOWN = np.iinfo(np.int64).min


class Nodes(Struct, frozen=True):
    """Outermost nodes by start; ``forward_ns`` is when the operator that recorded each began.

    ``finishes`` is true where the node that follows accumulates a gradient.
    """

    start_ns: Ints
    end_ns: Ints
    name: Ints
    forward_ns: Ints
    finishes: Bools

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, keep: Bools) -> Nodes:
        """The rows for which ``keep`` holds, in the same order."""
        return Nodes(*(getattr(self, column)[keep] for column in self.__struct_fields__))

    def finish_in(self, start_ns: int, end_ns: int) -> bool:
        """Whether a gradient is finished by a node whose forward operator began in between."""
        inside = (self.forward_ns >= start_ns) & (self.forward_ns < end_ns)
        return bool((self.finishes & inside).any())

    def forward_of(self, times: Ints) -> Ints:
        """Of the node evaluated at each of ``times`` the time of its forward operator."""
        if not len(self):
            return np.full(len(times), UNKNOWN)
        row = np.searchsorted(self.start_ns, times, side="right") - 1
        inside = (row >= 0) & (times < self.end_ns[np.maximum(row, 0)])
        return np.where(inside, self.forward_ns[np.maximum(row, 0)], UNKNOWN)


def autograd_nodes(timeline: Timeline) -> Nodes:
    """The outermost nodes of ``timeline`` but those that accumulate gradients."""
    host = timeline.host
    chosen = autograd_operators(timeline)
    rows = np.flatnonzero(chosen)
    reach = np.maximum.accumulate(host.end_ns[rows])
    rows = rows[np.append(True, host.start_ns[rows[1:]] >= reach[:-1])[: len(rows)]]
    accumulates = timeline.named(host.name[rows], _ACCUMULATE)
    # Of several gradients finished by one node only the first follows it directly.
    source = np.maximum.accumulate(np.where(accumulates, -1, np.arange(len(rows))))
    finishes = np.zeros(len(rows), dtype=np.bool_)
    finishes[source[accumulates & (source >= 0)]] = True
    rows, finishes = rows[~accumulates], finishes[~accumulates]
    return Nodes(
        host.start_ns[rows],
        host.end_ns[rows],
        host.name[rows],
        _forward_times(timeline, ~chosen, host.sequence[rows], host.start_ns[rows]),
        finishes,
    )


def _forward_times(timeline: Timeline, chosen: Bools, sequence: Ints, before: Ints) -> Ints:
    """When the last operator that bears each sequence number began, before the node did.

    An operator that records no node bears the number of the next one that does: of all that bear a
    number the last to begin recorded it.
    """
    host = timeline.host
    rows = np.flatnonzero((host.kind == OPERATOR) & chosen & (host.sequence >= 0))
    rows = rows[np.lexsort((host.start_ns[rows], host.sequence[rows]))]
    if not len(rows):
        return np.full(len(sequence), UNKNOWN)
    at = np.searchsorted(host.sequence[rows], sequence, side="right") - 1
    times = rows[np.maximum(at, 0)]
    known = (at >= 0) & (sequence >= 0) & (host.sequence[times] == sequence)
    known &= host.start_ns[times] < before
    return np.where(known, host.start_ns[times], UNKNOWN)
