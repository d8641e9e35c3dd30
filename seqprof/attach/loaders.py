"""Which loaders' batches are trained on, as the calls of a loop tell it one after the other."""

from __future__ import annotations


class TrainedLoaders:
    """Learns it from what is called between a fetch and the forward that trains.

    A forward without gradients in between may be an evaluation's, which took the batch, or a
    teacher's, which looks at it: the teacher does so in one step after the other.

    Attributes:
        known: numbers of the loaders whose batches are trained on.
    """

    __slots__ = ("_before", "_fetched", "_looked_at", "_step", "known")

    def __init__(self) -> None:
        self.known: set[int] = set()
        self._fetched: tuple[int, int] | None = None
        self._looked_at: int | None = None
        self._before: int | None = None
        self._step = -1

    def fetch(self, key: int, thread: int) -> None:
        """A thread asks a loader that is not known for a batch."""
        self._fetched = key, thread

    def end(self) -> None:
        """There was none."""
        self._fetched = None

    def look(self) -> None:
        """A root is called without gradients."""
        if self._fetched is not None:
            self._looked_at, self._fetched = self._fetched[0], None

    def train(self, thread: int, step: int) -> None:
        """A root is called with gradients, in the step of this number."""
        if self._fetched is not None and self._fetched[1] == thread:
            self.known.add(self._fetched[0])
        elif self._looked_at is not None and self._looked_at == self._before:
            self.known.add(self._looked_at)
        if self._looked_at is not None or step > self._step:
            self._before = self._looked_at
        self._fetched, self._looked_at, self._step = None, None, step
