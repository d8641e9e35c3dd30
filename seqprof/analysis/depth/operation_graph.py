"""A graph of operations, and the longest chain in it.

Standard library only: what runs inside a user's script imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from sys import intern


class OperationGraph:
    """Operations in the order in which they ran, each with the ones that it consumes.

    Attributes:
        names: of each operation.
        phases: ``forward``, ``loss``, ``backward`` or ``optimizer``, of each.
        sources: the earlier operations whose output it reads.
        before: those that last wrote to a storage of which it takes any part. By these, operations
            on two slices of one buffer chain up, though neither reads what the other wrote.
        flops: of matrix products and convolutions; 0 for others.
        bytes_moved: read and written.
        scans: length of the chain hidden in an operation (``cumsum`` …), by operation.
    """

    __slots__ = ("before", "bytes_moved", "flops", "names", "phases", "scans", "sources")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.phases: list[str] = []
        self.sources: list[tuple[int, ...]] = []
        self.before: list[tuple[int, ...]] = []
        self.flops: list[int] = []
        self.bytes_moved: list[int] = []
        self.scans: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def add(
        self,
        name: str,
        phase: str,
        sources: Iterable[int],
        *,
        before: Iterable[int] | None = None,
        flops: int = 0,
        bytes_moved: int = 0,
        scan_length: int | None = None,
    ) -> int:
        """Append an operation and return its number; ``before`` is ``sources`` where not given."""
        number = len(self.names)
        self.names.append(intern(name))
        self.phases.append(intern(phase))
        read = tuple(sorted(sources))
        earlier = read if before is None else tuple(sorted(before))
        self.sources.append(read)
        self.before.append(read if earlier == read else earlier)  # mostly equal: one object
        self.flops.append(flops)
        self.bytes_moved.append(bytes_moved)
        if scan_length is not None:
            self.scans[number] = scan_length
        return number


def longest(
    sources: Sequence[tuple[int, ...]], counted: Sequence[int], weigh: Callable[[int], int]
) -> int:
    """Return the largest sum of weights on one chain; it does not go on through what counts not."""
    reached = [0] * (counted[-1] + 1 if counted else 0)
    for number in counted:
        reached[number] = weigh(number) + max((reached[s] for s in sources[number]), default=0)
    return max(reached, default=0)
