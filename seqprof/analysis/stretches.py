"""A sequence cut into equal stretches, for tables and plots that have no room for each timestep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

#: Most points of the profile over the sequence that a sparkline draws.
MOST_POINTS = 48


def stretches(timesteps: int, most: int) -> list[range]:
    """Cut ``range(timesteps)`` into at most ``most`` stretches, as equal as they can be."""
    count = min(timesteps, most)
    edges = [index * timesteps // count for index in range(count + 1)] if count else []
    return [range(a, b) for a, b in pairwise(edges)]


def profile(p50_s: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the latency over the sequence in at most ``MOST_POINTS`` means."""
    parts = (
        [value for value in p50_s[part.start : part.stop] if value is not None]
        for part in stretches(len(p50_s), MOST_POINTS)
    )
    return tuple(math.fsum(part) / len(part) if part else None for part in parts)
